"""What NumPy and SciPy make of the closed forms and the protocol of zero-shot learning, from the papers' formulas.

Writes data.safetensors beside it, and the same set as files of the form that Xian et al. 2018 publish, res101.mat and
att_splits.mat. Made with numpy 2.4.6 and scipy 1.17.1.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.io import savemat
from scipy.linalg import solve_sylvester

rng = np.random.default_rng(0)
images, width, classes, attributes, unseen = 120, 9, 12, 5, 4
table = rng.normal(size=(classes, attributes))
mix = rng.normal(size=(attributes, width))
labels = np.arange(images) % classes
features = table[labels] @ mix + rng.normal(size=(images, width)) * 1.5
seen = np.arange(classes) < classes - unseen
learned = seen[labels] & (np.arange(images) < 90)
x, y, s = features[learned], labels[learned], table[seen]
out = {"features": features, "labels": labels, "table": table, "learned": learned.astype(np.int64)}

# ESZSL, as the paper has it: columns are images
X, S = x.T, s.T
Y = np.where(y[:, None] == np.arange(len(s)), 1.0, -1.0)
gamma, lam = 10.0, 0.1
V = np.linalg.inv(X @ X.T + gamma * np.eye(width)) @ X @ Y @ S.T @ np.linalg.inv(S @ S.T + lam * np.eye(attributes))
out["eszsl.map"] = V
out["eszsl.scores"] = scores = features @ V @ table.T

# SAE, by SciPy's solver
Z, lam = s[y].T, 0.3
W = solve_sylvester(Z @ Z.T, lam * X @ X.T, (1 + lam) * Z @ X.T)
out["sae.code"] = W


def cosines(a, b):
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


out["sae.descriptions"] = cosines(features @ W.T, table)
out["sae.features"] = cosines(features, table @ W)


# the protocol, on ESZSL's scores of the images that it has not learned from
def per_class(predicted, truth, wanted):
    return np.mean([np.mean(predicted[truth == c] == c) for c in np.flatnonzero(wanted) if (truth == c).any()])


test, truth = scores[~learned], labels[~learned]
out["test.scores"], out["test.labels"] = test, truth


def point(gamma):
    predicted = (test - gamma * seen).argmax(1)
    return per_class(predicted, truth, ~seen), per_class(predicted, truth, seen)


gammas = np.linspace(-20, 20, 41)
out["protocol.gammas"] = gammas
out["protocol.points"] = np.array([point(g) for g in gammas])
ahead = np.unique(test[:, seen].max(1) - test[:, ~seen].max(1))
steps = np.concatenate([[ahead[0] - 1], (ahead[1:] + ahead[:-1]) / 2, [ahead[-1] + 1]])
curve = np.array([point(g) for g in steps])
out["protocol.ausuc"] = np.array([np.trapezoid(curve[:, 1], curve[:, 0])])
only = test[~seen[truth]][:, ~seen]
out["protocol.t1"] = np.array([per_class(only.argmax(1) + seen.sum(), truth[~seen[truth]], ~seen)])

# the whole of it for every setting of ESZSL that may be chosen, from descriptions of length 1
unit = table / np.linalg.norm(table, axis=1, keepdims=True)
grid = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3]
S = unit[seen].T
protocol = []
for gamma in grid:
    for lam in grid:
        V = np.linalg.inv(X @ X.T + gamma * np.eye(width)) @ X @ Y @ S.T @ np.linalg.inv(S @ S.T + lam * np.eye(attributes))
        test = (features @ V @ unit.T)[~learned]
        only = test[~seen[truth]][:, ~seen]
        t1 = per_class(only.argmax(1) + seen.sum(), truth[~seen[truth]], ~seen)
        protocol.append([t1, *point(0.0)])
out["protocol.eszsl"] = np.array(protocol)

here = Path(__file__).parent
places = np.arange(1, images + 1)
of_train = seen[labels] & (labels < 6)
savemat(here / "res101.mat", {"features": features.T, "labels": (labels + 1.0)[:, None]}, do_compression=True)
names = np.empty((classes, 1), dtype=object)
names[:, 0] = [f"class+{letter}" for letter in "abcdefghijkl"]
lists = {
    "trainval_loc": learned,
    "train_loc": of_train,  # with images of test_seen, as in the published files
    "val_loc": seen[labels] & ~of_train,
    "test_seen_loc": seen[labels] & ~learned,
    "test_unseen_loc": ~seen[labels],
}
lists = {name: places[chosen][:, None].astype(np.uint16) for name, chosen in lists.items()}
savemat(here / "att_splits.mat", {"att": table.T, "allclasses_names": names, **lists}, do_compression=True)
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, here / "data.safetensors")
