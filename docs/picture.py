"""Makes a picture of a terminal in which the program runs, as it is at some moment.

    pip install pyte
    cargo build --release
    python3 docs/picture.py 24 target/release/wgrad > docs/run.svg    # after 24 seconds
"""
import fcntl, html, itertools, os, pty, select, signal, struct, sys, termios, time
import pyte

COLUMNS, ROWS = 112, 34
COLOURS = {"default": "#e6edf3", "cyan": "#56d4dd", "brown": "#e3b341"}
seconds, *command = sys.argv[1:]

screen = pyte.Screen(COLUMNS, ROWS)
screen.set_mode(pyte.modes.LNM)
stream = pyte.ByteStream(screen)
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm-256color"
    time.sleep(0.2)
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
end = time.monotonic() + float(seconds)
while (left := end - time.monotonic()) > 0:
    if select.select([terminal], [], [], left)[0]:
        try:
            stream.feed(os.read(terminal, 65536))
        except OSError:
            break
os.kill(child, signal.SIGKILL)

rows = [[screen.buffer[row][column] for column in range(COLUMNS)] for row in range(ROWS)]
while rows and not "".join(cell.data for cell in rows[-1]).strip():
    rows.pop()
prompt = "$ " + os.path.basename(command[0]) + "".join(" " + word for word in command[1:])
width, height = 8.4 * COLUMNS + 40, 20 * (len(rows) + 1) + 60
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">')
print('<rect width="100%" height="100%" rx="8" fill="#16181d"/>')
for at, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
    print(f'<circle cx="{20 + 18 * at}" cy="18" r="5" fill="{colour}"/>')
print(f'<text x="20" y="52" fill="#7ee787" xml:space="preserve">{html.escape(prompt)}</text>')
for at, row in enumerate(rows):
    column = 0
    # A text for each style, at its own place: fonts differ in how wide their dots are.
    for style, cells in itertools.groupby(row, key=lambda cell: (cell.fg, cell.bold)):
        text = "".join(cell.data for cell in cells)
        if text.strip():
            bold = ' font-weight="bold"' if style[1] else ""
            x, length = 20 + 8.4 * column, 8.4 * len(text)
            print(f'<text x="{x:.1f}" y="{72 + 20 * at}" textLength="{length:.1f}" fill="{COLOURS.get(style[0], "#e6edf3")}"{bold} xml:space="preserve">{html.escape(text)}</text>')
        column += len(text)
print("</svg>")
