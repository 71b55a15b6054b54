#!/usr/bin/env bash
# optax 0.2.8: losses.multiclass_generalized_dice_loss of a batch in which one class has no
# pixel is a loss of that class alone: it is 0 for masks in which every pixel is wrong.
#
# Classes are weighted by 1 / (n**2 + 1e-7), n being their pixels in the batch, and the
# weights are scaled to sum to the number of classes. A class with n = 0 has 1e7, which is
# a thousand times the weight of a class with ten pixels and more for larger ones, so that
# after scaling the others have nearly none. (The paper weights classes inside of both sums
# of one ratio, where an absent class adds nothing to the numerator; other libraries give
# absent classes the largest weight of those present, or leave them out.) Segmentation
# meets this in most batches: rare classes are what the weights are for.
#
# Seen, two masks of 16 x 16 pixels of classes 0 and 1, each in half of them, logits of 20
# for the class that is predicted:
#   all pixels wrong, two classes in the model:                      loss 0.992
#   the same, and a third class in the model that no pixel has:      loss 0.000
#   ignore_background with a batch that has no background pixel:     loss 0.000
# and of the gradient's magnitude at random logits, over 99.9 % is the gradient of the
# absent class's own term: ascending either present class costs nothing.
#
# Boundary: where every class has a pixel the loss is as expected; dice_loss, which has no
# weights of its own, is 0.661 for the second row. Work around: dice_loss with
# class_weights from the whole data set, or with those of the classes present, the rest 0.
# Exits 1 when the outcome differs from the above.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$work/run.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np
import optax

jax.config.update("jax_platforms", "cpu")
print("optax", optax.__version__)
generalized = optax.losses.multiclass_generalized_dice_loss
masks = (np.indices((2, 16, 16)).sum(0) % 2).astype(int)


def one_hot(mask, classes):
    return jnp.asarray(np.eye(classes, dtype="f4")[mask])


def all_wrong(mask, classes):
    return 20 * one_hot(1 - mask, classes)


def plain(logits, targets):
    return optax.losses.dice_loss(logits, targets).mean()


moved = masks + 1  # Classes 1 and 2 alone: no pixel is background.
swapped = 20 * one_hot(3 - moved, 3)
CASES = {  # name: (loss, as expected: high for masks that are all wrong)
    "two classes": generalized(all_wrong(masks, 2), one_hot(masks, 2)),
    "a third class, without a pixel": generalized(
        all_wrong(masks, 3), one_hot(masks, 3)
    ),
    "no background, ignored": generalized(
        swapped, one_hot(moved, 3), ignore_background=True
    ),
    "a third class, dice_loss": plain(all_wrong(masks, 3), one_hot(masks, 3)),
}
for name, loss in CASES.items():
    print(f"{name:32} loss {float(loss):.3f}, every pixel wrong")
losses = [float(loss) for loss in CASES.values()]

targets = one_hot(masks, 3)
logits = jax.random.normal(jax.random.key(0), targets.shape)
whole = jax.grad(generalized)(logits, targets)
absent = jax.grad(
    lambda z: optax.losses.dice_loss(
        z, targets, class_weights=jnp.array([0.0, 0.0, 3.0]), reduction="none"
    ).mean()
)(logits)
share = 1 - float(jnp.linalg.norm(whole - absent) / jnp.linalg.norm(whole))
print(f"share of the absent class in the gradient: {100 * share:.2f} %")
same = losses[0] > 0.9 and losses[1] < 1e-3 and losses[2] < 1e-3 and losses[3] > 0.6
same &= share > 0.999
print("as recorded" if same else "CHANGED")
raise SystemExit(not same)
PY
"$work/venv/bin/python" "$work/run.py"
