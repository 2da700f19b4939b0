"""What showing a run costs: the program in a pseudo-terminal, with everything on and with everything off, in pairs.

    cargo build --release
    python3 benches/overhead.py [--pairs 5] [--epochs 10] [--on "--screen live …"] [--off "--screen none"] [-- more flags of wgrad train]

The two runs of a pair take turns of some seconds, while the other one is stopped: so both share the machine's other load, which would differ between
whole runs one after the other. A turn begins with shorter submissions, as a run takes the pause for the time of a submission. The method is for software
adapters: another device would go on with submitted work while the program is stopped. A run's time is that of its turns, from its line about the network
to its model's file, divided by its epochs: tuning, the driver's start and the report at the end are not in it. The control row has everything off on both
sides: it shows the noise of the method. On a software adapter the cores also do the device's work: there, on Linux, the processor time in the same turns
is another measure of the same cost. `--other` is a program for the side that is off, to compare two builds.
"""
import argparse, os, pty, random, re, select, signal, statistics, struct, sys, tempfile, termios, fcntl, time

program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "wgrad")
parser = argparse.ArgumentParser()
parser.add_argument("--pairs", type=int, default=5)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--on", default="--screen live --tensorboard tb --out run")
parser.add_argument("--off", default="--screen none")
parser.add_argument("--program", default=program)
parser.add_argument("--other")
parser.add_argument("--turn", type=float, default=4.0, help="seconds")
parser.add_argument("--no-control", action="store_true")
parser.add_argument("more", nargs="*")
asked = parser.parse_args()


def processor_seconds(process):
    """The processor time that a process has used so far, on all cores."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Run:
    """The program, which is stopped between its turns."""

    def __init__(self, program, flags):
        self.folder = tempfile.TemporaryDirectory()
        self.model = os.path.join(self.folder.name, "model.safetensors")
        words = ["train", "--save", self.model, "--epochs", str(asked.epochs), "--seed", "1", *flags.split(), *asked.more]
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(self.folder.name)
            os.environ["TERM"] = "xterm-256color"
            os.execv(program, [program, *words])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.text, self.spent, self.is_over = b"", [0.0, 0.0], False
        self.read_until(lambda: b"dispatches a step" in re.sub(rb"\s+", b" ", self.text))
        os.kill(self.process, signal.SIGSTOP)

    def read_until(self, is_done):
        """The program's output, until a time or to its end."""
        while not is_done():
            if not select.select([self.terminal], [], [], 0.002)[0]:
                continue
            try:
                chunk = os.read(self.terminal, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                self.is_over = True
                return
            self.text += chunk

    def has_ended(self):
        return self.is_over or os.path.exists(self.model)

    def turn(self):
        """Lets the program run for a while, or to its end."""
        began, used = time.monotonic(), processor_seconds(self.process)
        os.kill(self.process, signal.SIGCONT)
        self.read_until(lambda: self.has_ended() or time.monotonic() - began > asked.turn)
        os.kill(self.process, signal.SIGSTOP)
        self.spent[0] += time.monotonic() - began
        self.spent[1] += processor_seconds(self.process) - used

    def seconds(self):
        """The seconds of an epoch, and its processor time."""
        os.kill(self.process, signal.SIGCONT)
        self.read_until(lambda: self.is_over)
        os.close(self.terminal)
        _, status = os.waitpid(self.process, 0)
        if status or not os.path.exists(self.model):
            sys.exit(f"wgrad failed:\n{self.text.decode(errors='replace')}")
        self.folder.cleanup()
        return [spent / asked.epochs for spent in self.spent]


def pair_of(sides, first):
    """The seconds of both runs of a pair."""
    runs = [Run(*side) for side in sides]
    while not all(run.has_ended() for run in runs):
        for run in (runs if first == 0 else runs[::-1]):
            if not run.has_ended():
                run.turn()
        first = 1 - first
    return [run.seconds() for run in runs]


def row(name, on, off):
    pairs = []
    for pair in range(asked.pairs):
        with_all, without = pair_of([on, off], pair % 2)
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


on, off = (asked.program, asked.on), (asked.other or asked.program, asked.off)
# The run fills the driver's own caches.
Run(*on).seconds()
print("| | an epoch with everything off | ratio of an epoch, median of pairs (95 % of its medians) | of the processor's time |\n|---|---|---|---|")
row(f"`{asked.on}` against `{asked.off}`", on, off)
if not asked.no_control:
    row("control: off against off", off, off)
