# SPDX-License-Identifier: BSD-3-Clause
"""Train a language model in NumPy with fastdrop, on text that comes with Python; draw a plot, print a sample.

A transformer of 3.2 million parameters learns to continue a text, character by character: 4 layers, 256
features, 4 heads, 128 characters at once, batches of 16. It trains twice in turns, without dropout and with
it, on a text so short that it learns this by heart: the loss on other text shows what dropout gains. The text
is what Python's ``help()`` says about the language.

    python examples/train_transformer.py              # some 10 minutes on one thread
    python examples/train_transformer.py --compare    # times of a step: fastdrop, textbook NumPy, PyTorch
    python examples/train_transformer.py --numpy      # train the same network in textbook NumPy instead
    python examples/train_transformer.py --torch      # or in PyTorch, if you have installed it

All three begin with the same weights and see the same batches. Without dropout their losses agree to four
digits at first. Dropout differs, because only fastdrop draws fastdrop's masks.

``--threads`` is the number of threads of NumPy's BLAS, of fastdrop and of PyTorch alike.
"""

import importlib.util
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastdrop
from lib.mlp import Adam, softmax, softmax_cross_entropy
from lib.options import add_plot, make_parser, whole_number
from lib.text import all_windows, load_text, random_windows
from lib.transformer import ChunkedAdam, Transformer
from lib.transformer_compare import WARM_UP, compare, print_split, print_times
from lib.transformer_numpy import TextbookTransformer
from lib.transformer_sizes import Sizes

BATCH_SIZE = 16
TRAIN_COUNT, VALIDATION_COUNT = 8_000, 10_000  # characters
LEARNING_RATE, WARM_UP_STEPS = 1e-3, 50
EVALUATIONS = 12  # over a training
PROMPT, SAMPLE_COUNT = "The ", 300  # characters


@dataclass
class Network:
    """A transformer of any library, its optimiser, and its losses after every evaluation."""

    model: object
    optimizer: object
    step_count: int = 0
    train: list = field(default_factory=list)
    validation: list = field(default_factory=list)

    def step(self, texts, targets):
        """Take a training step."""
        self.step_count += 1
        self.model.gradient_step(texts, targets)
        self.optimizer.step(LEARNING_RATE * min(1, self.step_count / WARM_UP_STEPS))

    def loss(self, numbers, length):
        """Return the mean loss on a text, with dropout switched off."""
        self.model.train(False)
        losses = [
            softmax_cross_entropy(self.model.forward(texts), targets.ravel())[0]
            for texts, targets in all_windows(numbers, BATCH_SIZE, length)
        ]
        self.model.train()
        return float(np.mean(losses))


class FlatAdam(Adam):
    """`Adam` whose learning rate comes with each step."""

    def step(self, learning_rate):
        """Update the parameters from the gradients, in place."""
        self.learning_rate = learning_rate
        super().step()


def make_fastdrop(sizes, parameters, p, seed):
    """Make the network with fastdrop."""
    model = Transformer(sizes, parameters, p, seed, BATCH_SIZE)
    return Network(model, ChunkedAdam(model.parameters, model.gradients))


def make_numpy(sizes, parameters, p, seed):
    """Make the network in textbook NumPy."""
    model = TextbookTransformer(sizes, parameters, p, seed)
    return Network(model, FlatAdam(model.parameters, model.gradients))


def make_torch(sizes, parameters, p, seed):
    """Make the network in PyTorch."""
    from lib.transformer_torch import TorchAdam, TorchTransformer

    model = TorchTransformer(sizes, parameters, p, seed)
    return Network(model, TorchAdam(model))


LIBRARIES = {"fastdrop": make_fastdrop, "NumPy": make_numpy, "PyTorch": make_torch}


def has_torch():
    """Return whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def train(networks, text, length, steps, rng):
    """Train the networks in turns, a step each, and evaluate them now and then; return at which steps."""
    evaluated = sorted({steps * (i + 1) // EVALUATIONS for i in range(EVALUATIONS)} - {0})
    with tqdm(total=steps, unit="step", disable=None) as bar:  # None: only on a terminal
        for number in range(1, steps + 1):
            batch = random_windows(text.train, BATCH_SIZE, length, rng)
            for network in networks.values():
                network.step(*batch)
            bar.update()
            if number not in evaluated:
                continue
            for network in networks.values():
                network.train.append(network.loss(text.train[: len(text.validation)], length))
                network.validation.append(network.loss(text.validation, length))
            latest = {name: f"{network.validation[-1]:.2f}" for name, network in networks.items()}
            bar.set_postfix(latest)
    return evaluated


def sample(model, text, length, rng):
    """Return what the network writes after the prompt."""
    model.train(False)
    numbers = list(text.encode(PROMPT))
    for _ in range(SAMPLE_COUNT):
        logits = model.forward(np.array([numbers[-length:]]))[-1:]
        numbers.append(rng.choice(logits.shape[1], p=softmax(logits.astype(np.float64))[0]))
    return text.decode(numbers)


def print_losses(networks, p):
    """Print the losses after the last step, and the lowest one on other text."""
    print("              loss at the end      lowest loss")
    print("             train  validation      validation")
    for name, network in networks.items():
        lowest = min(network.validation)
        print(f"{name:10}  {network.train[-1]:6.3f}  {network.validation[-1]:10.3f}  {lowest:14.3f}")
    plain, dropped = networks.values()
    gain = min(plain.validation) - min(dropped.validation)
    end = plain.validation[-1] - dropped.validation[-1]
    print(
        f"\nValidation loss, p = {p} against no dropout: {-end:+.3f} at the end, {-gain:+.3f} at the lowest."
    )


def draw(networks, evaluated, library, path):
    """Draw the losses over the steps as a picture."""
    figure = Figure(figsize=(8, 5), layout="constrained")  # no pyplot: needs no display and no backend
    axes = figure.subplots()
    for (name, network), colour in zip(networks.items(), ["tab:red", "tab:blue"], strict=True):
        axes.plot(evaluated, network.validation, ".-", color=colour, label=f"other text, {name}")
        axes.plot(evaluated, network.train, ".--", color=colour, alpha=0.6, label=f"training text, {name}")
    title = f"A language model in {library}, trained on {TRAIN_COUNT:,} characters"
    axes.set(xlabel="step", ylabel="loss (nats per character), dropout off", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def print_header(sizes, text, parameters, library, options):
    """Say what is about to be trained, and on what."""
    print(
        f"Text: {len(text.train):,} characters to train on, {len(text.validation):,} others to validate on,"
    )
    print(f"{sizes.characters} different ones, from Python's own documentation.")
    print(f"Network: {sizes.layers} layers, {sizes.features} features, {sizes.heads} heads, GELU, pre-norm,")
    print(f"{parameters.size:,} parameters, float32, in {library}; dropout p = {options.p} or none.")
    print(
        f"Adam, batches of {BATCH_SIZE} x {sizes.length}, {options.threads} thread(s), seed {options.seed}.\n"
    )


def read_options():
    """Read and check the options."""
    parser = make_parser(__doc__)
    parser.add_argument("--steps", type=whole_number(1), help="default: 600, or 20 with --compare")
    parser.add_argument("--p", type=float, default=0.1, help="of dropping, default: %(default)s")
    parser.add_argument("--threads", type=whole_number(1), default=1, help="default: %(default)s")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    library = parser.add_mutually_exclusive_group()
    library.add_argument("--numpy", dest="library", action="store_const", const="NumPy", default="fastdrop")
    library.add_argument("--torch", dest="library", action="store_const", const="PyTorch")
    library.add_argument("--compare", action="store_true", help="print times of steps instead of training")
    add_plot(parser, "train_transformer.png")
    options = parser.parse_args()
    if not 0 <= options.p < 1:
        parser.error(f"--p must be at least 0 and below 1, not {options.p}")
    if options.library == "PyTorch" and not has_torch():
        parser.error("argument --torch: PyTorch is not installed: pip install torch")
    return options


def run(options, sizes, text, seeds):
    """Train and report, or compare."""
    weight_seed, batch_seed, sample_seed = seeds
    parameters = sizes.first_parameters(np.random.default_rng(weight_seed))
    batch_rng = np.random.default_rng(batch_seed)
    if options.compare:
        names = [name for name in LIBRARIES if name != "PyTorch" or has_torch()]
        print_header(sizes, text, parameters, " and in ".join(names), options)
        networks = {name: LIBRARIES[name](sizes, parameters, options.p, options.seed) for name in names}
        batches = [
            random_windows(text.train, BATCH_SIZE, sizes.length, batch_rng)
            for _ in range((options.steps or 20) + WARM_UP)
        ]
        print_times(compare(networks, batches))
        print_split(networks, batches[0])
        return
    print_header(sizes, text, parameters, options.library, options)
    make = LIBRARIES[options.library]
    networks = {
        name: make(sizes, parameters, p, options.seed)
        for name, p in (("no dropout", 0.0), (f"p = {options.p}", options.p))
    }
    evaluated = train(networks, text, sizes.length, options.steps or 600, batch_rng)
    print_losses(networks, options.p)
    draw(networks, evaluated, options.library, options.plot)
    model = list(networks.values())[-1].model
    print(f"\nThe network with dropout writes after {PROMPT!r}:\n")
    print(sample(model, text, sizes.length, np.random.default_rng(sample_seed)))
    print(f"\nPicture: {options.plot}")


def main():
    """Read the options, prepare, run."""
    options = read_options()
    text_seed, *seeds = np.random.SeedSequence(options.seed).spawn(4)
    text = load_text(TRAIN_COUNT, VALIDATION_COUNT, np.random.default_rng(text_seed))
    sizes = Sizes(len(text.characters))
    if has_torch():
        importlib.import_module("torch").set_num_threads(options.threads)
    with threadpool_limits(options.threads), fastdrop.set_num_threads(options.threads):
        run(options, sizes, text, seeds)


if __name__ == "__main__":
    main()
