"""Makes a picture of a terminal from what a command wrote.

    cargo run --release 2>/dev/null | python3 docs/picture.py '$ wgrad' > docs/run.svg
"""
import html, sys

lines = [sys.argv[1], *sys.stdin.read().rstrip("\n").split("\n")]
width = 8.4 * max(len(line) for line in lines) + 40
height = 20 * len(lines) + 60
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">')
print(f'<rect width="100%" height="100%" rx="8" fill="#16181d"/>')
for at, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
    print(f'<circle cx="{20 + 18 * at}" cy="18" r="5" fill="{colour}"/>')
for at, line in enumerate(lines):
    colour = "#7ee787" if at == 0 else "#e6edf3"
    print(f'<text x="20" y="{52 + 20 * at}" fill="{colour}" xml:space="preserve">{html.escape(line)}</text>')
print("</svg>")
