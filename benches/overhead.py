"""What showing a run costs: the program in a pseudo-terminal, with everything on and with everything off, in pairs.

    cargo build --release
    python3 benches/overhead.py [--pairs 10] [--epochs 5] [--on "--screen live"] [--off "--screen none"] [-- more flags of wgrad train]

A run's time goes from its line about the network to its line about the model, over its epochs: it has the tuning of no tile and the start of
no driver in it. The order within a pair alternates. The control row has everything off on both sides: what it shows is this machine's noise.
"""
import argparse, os, pty, random, re, statistics, struct, sys, tempfile, termios, fcntl, time

program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "wgrad")
parser = argparse.ArgumentParser()
parser.add_argument("--pairs", type=int, default=10)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--on", default="--screen live")
parser.add_argument("--off", default="--screen none")
parser.add_argument("--program", default=program)
parser.add_argument("more", nargs="*")
asked = parser.parse_args()


def seconds(flags):
    """Of an epoch of one run."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "--epochs", str(asked.epochs), "--seed", "1", *flags.split(), *asked.more]
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(folder)
            os.environ["TERM"] = "xterm-256color"
            os.execv(asked.program, [asked.program, *words])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        text, began, ended = b"", None, None
        while True:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
            if began is None and b"dispatches a step" in re.sub(rb"\s+", b" ", text):
                began = time.monotonic()
            if ended is None and b"The model is in" in re.sub(rb"\s+", b" ", text[-4096:]):
                ended = time.monotonic()
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        if status or began is None or ended is None:
            sys.exit(f"wgrad {' '.join(words)} failed:\n{text.decode(errors='replace')}")
        return (ended - began) / asked.epochs


def row(name, on, off):
    ratios, whole = [], []
    for pair in range(asked.pairs):
        sides = [on, off] if pair % 2 == 0 else [off, on]
        times = [seconds(flags) for flags in sides]
        with_all, without = times if pair % 2 == 0 else times[::-1]
        ratios.append(with_all / without)
        whole.append(without)
        print(f"  {name}: pair {pair + 1}: {with_all:.3f} s against {without:.3f} s an epoch", file=sys.stderr, flush=True)
    # The median's 95 % interval, by resampling pairs.
    draws = random.Random(0)
    medians = sorted(statistics.median(draws.choices(ratios, k=len(ratios))) for _ in range(10_000))
    print(f"| {name} | {statistics.median(whole):.3f} s | {statistics.median(ratios):.4f} | {medians[250]:.4f} – {medians[9750]:.4f} |", flush=True)


seconds(asked.off)  # the driver's own caches
print("| | an epoch with everything off | ratio of an epoch, median of pairs | 95 % of its medians |\n|---|---|---|---|")
row(f"`{asked.on}` against `{asked.off}`", asked.on, asked.off)
row("control: off against off", asked.off, asked.off)
