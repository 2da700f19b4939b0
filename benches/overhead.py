"""What showing a run costs: the program in a pseudo-terminal, with everything on and with everything off, in pairs.

    cargo build --release
    python3 benches/overhead.py [--pairs 10] [--epochs 5] [--on "--screen live …"] [--off "--screen none"] [-- more flags of wgrad train]

A run's time goes from its line about the network to its model's file, over its epochs: so neither tuning, nor a driver's start, nor
the report at the end is in it. The order within a pair alternates. The control row has everything off on both sides: what it shows is this
machine's noise. On a software adapter the cores do the device's work too: there, on Linux, the processor's time over the same span is a steadier
measure of the same cost.
"""
import argparse, os, pty, random, re, select, statistics, struct, sys, tempfile, termios, fcntl, time

program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "wgrad")
parser = argparse.ArgumentParser()
parser.add_argument("--pairs", type=int, default=10)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--on", default="--screen live --tensorboard tb --out run")
parser.add_argument("--off", default="--screen none")
parser.add_argument("--program", default=program)
parser.add_argument("more", nargs="*")
asked = parser.parse_args()


def processor_seconds(process):
    """That a process has used so far, on all cores."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds(flags):
    """Of an epoch of one run, and the processor's."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.safetensors")
        words = ["train", "--save", model, "--epochs", str(asked.epochs), "--seed", "1", *flags.split(), *asked.more]
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(folder)
            os.environ["TERM"] = "xterm-256color"
            os.execv(asked.program, [asked.program, *words])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        text, began, ended = b"", None, None
        while True:
            if ended is None and os.path.exists(model):
                ended = time.monotonic(), processor_seconds(child)
            if not select.select([terminal], [], [], 0.005)[0]:
                continue
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
            if began is None and b"dispatches a step" in re.sub(rb"\s+", b" ", text):
                began = time.monotonic(), processor_seconds(child)
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        if status or began is None or ended is None:
            sys.exit(f"wgrad {' '.join(words)} failed:\n{text.decode(errors='replace')}")
        return [(end - begin) / asked.epochs for begin, end in zip(began, ended)]


def row(name, on, off):
    pairs = []
    for pair in range(asked.pairs):
        sides = [on, off] if pair % 2 == 0 else [off, on]
        times = [seconds(flags) for flags in sides]
        with_all, without = times if pair % 2 == 0 else times[::-1]
        pairs.append((with_all, without))
        told = [f"{side[0]:.3f} s ({side[1]:.2f} s of processor)" for side in (with_all, without)]
        print(f"  {name}: pair {pair + 1}: {told[0]} against {told[1]} an epoch", file=sys.stderr, flush=True)
    cells = []
    for kind in (0, 1):
        ratios = [with_all[kind] / without[kind] for with_all, without in pairs]
        # The median's 95 % interval, by resampling pairs.
        draws = random.Random(0)
        medians = sorted(statistics.median(draws.choices(ratios, k=len(ratios))) for _ in range(10_000))
        cells.append(f"{statistics.median(ratios):.4f} ({medians[250]:.4f} – {medians[9750]:.4f})")
    print(f"| {name} | {statistics.median(without[0] for _, without in pairs):.3f} s | {cells[0]} | {cells[1]} |", flush=True)


seconds(asked.off)  # the driver's own caches
print("| | an epoch with everything off | ratio of an epoch, median of pairs (95 % of its medians) | of the processor's time |\n|---|---|---|---|")
row(f"`{asked.on}` against `{asked.off}`", asked.on, asked.off)
row("control: off against off", asked.off, asked.off)
