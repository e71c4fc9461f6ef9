"""The protocol of zero-shot learning at the size of AwA2: makes res101.mat, of the names, sizes and types of the published one and synthetic
content, and compares what `regraft zeroshot compare` finds with NumPy.

Needs numpy and scipy, and the published att_splits.mat of AwA2:

    python benches/zero_shot.py make att_splits.mat res101.mat
    time regraft zeroshot compare --features res101.mat --splits att_splits.mat --scaling none --methods eszsl,sae --out compared
    python benches/zero_shot.py check att_splits.mat res101.mat compared/zeroshot.json
"""

import json
import sys

import numpy as np
from scipy.io import loadmat, savemat

IMAGES, WIDTH = 37322, 2048


def positions(splits, name):
    return splits[name].ravel().astype(int) - 1


def make(splits_file, features_file):
    """Classes are dealt out so that every list keeps to its own, and features follow from attributes with noise."""
    splits = loadmat(splits_file)
    table = splits["att"].T
    random = np.random.default_rng(0)
    unseen = random.choice(50, 10, replace=False)
    seen = np.setdiff1d(np.arange(50), unseen)
    val = random.choice(seen, 13, replace=False)
    labels = np.zeros(IMAGES, dtype=int)
    tested = positions(splits, "test_unseen_loc")
    labels[tested] = unseen[np.arange(len(tested)) % len(unseen)]
    rest = np.setdiff1d(np.arange(IMAGES), tested)
    labels[rest] = seen[np.arange(len(rest)) % len(seen)]
    for name, classes in [("train_loc", np.setdiff1d(seen, val)), ("val_loc", val)]:
        of_list = positions(splits, name)
        labels[of_list] = classes[np.arange(len(of_list)) % len(classes)]
    mix = random.normal(size=(table.shape[1], WIDTH))
    features = np.maximum(table[labels] @ mix * 3 + random.normal(size=(IMAGES, WIDTH)) * 3, 0)
    files = np.array([f"{name}.jpg" for name in range(IMAGES)], dtype=object)[:, None]
    savemat(features_file, {"features": features.T, "labels": (labels + 1).astype(np.uint8)[:, None], "image_files": files})


def per_class(scores, labels, classes):
    """The mean over classes of the share of each one's images that is right; labels and columns are among `classes`."""
    predicted = classes[scores.argmax(1)]
    return np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)])


def check(splits_file, features_file, found_file):
    """ESZSL and SAE with the settings that were chosen: T1, U and S without stacking."""
    splits, data = loadmat(splits_file), loadmat(features_file)
    x, labels = data["features"].T.astype(float), data["labels"].ravel().astype(int) - 1
    table = splits["att"].T
    learned = positions(splits, "trainval_loc")
    unseen_images, seen_images = positions(splits, "test_unseen_loc"), positions(splits, "test_seen_loc")
    seen, unseen, everything = np.unique(labels[learned]), np.unique(labels[unseen_images]), np.arange(len(table))
    features, own, s = x[learned], labels[learned], table[seen]
    gram = features.T @ features
    worst = 0.0
    for outcome in json.load(open(found_file))["methods"]:
        run = outcome["runs"][0]
        setting = run["setting"]
        if outcome["method"] == "eszsl":
            y = np.where(own[:, None] == seen, 1.0, -1.0)
            left = np.linalg.solve(gram + setting["gamma"] * np.eye(WIDTH), features.T @ y @ s)
            v = left @ np.linalg.inv(s.T @ s + setting["lambda"] * np.eye(table.shape[1]))
            scores = x @ v @ table.T
        else:
            z, lam = table[own], setting["lambda"]
            # the Sylvester equation in the basis of both sides' eigenvectors
            (a, u), (b, w) = np.linalg.eigh(z.T @ z), np.linalg.eigh(gram)
            code = u @ (u.T @ ((1 + lam) * z.T @ features) @ w / (a[:, None] + lam * b)) @ w.T
            unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
            in_features = setting["space"] == "features"
            scores = unit(x) @ unit(table @ code).T if in_features else unit(x @ code.T) @ unit(table).T
        expected = [
            per_class(scores[unseen_images][:, unseen], labels[unseen_images], unseen),
            per_class(scores[unseen_images], labels[unseen_images], everything),
            per_class(scores[seen_images], labels[seen_images], everything),
        ]
        found = [run["unseen"]["per_class_accuracy"], run["plain"]["unseen"], run["plain"]["seen"]]
        print(outcome["method"], setting, "T1, U, S:", *(f"{a:.6f} ({b:.6f})" for a, b in zip(found, expected)))
        worst = max(worst, *(abs(a - b) for a, b in zip(found, expected)))
    print(f"largest difference: {worst:.1e}")
    sys.exit(int(worst > 1e-6))


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
