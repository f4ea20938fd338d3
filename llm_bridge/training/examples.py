r"""Training rows: from a received text to token ids, line ends and labels.

A text is read once, from left to right, followed by a fixed suffix and one answer token:

    <bos> def f ( x ) : ⏎··· return x ⏎ # verdict:  bug
         ▲              ▲            ▲            ▲
      context     end of line 0   end of line 1   end of the suffix

At the end of each line (the token that holds its newline) the model says how much likelier `` bug`` is than `` ok``:
the line's verdict. The same difference at the end of the suffix is the verdict on the program. Labels of everything but
the answer token are −100, so that a likelihood loss is taken on the completion only. A context, where there is one
(`llm_bridge.corpora.contexts`), stands before the text as tokens of its own, and is itself neither scored nor learnt.

Labels never cross the radio link: they belong to the transmitted item and join by its id at the receiver. Line numbers
here are indices into ``text.splitlines()``, from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llm_bridge.corpora.contexts import Reading, context_of, in_context
from llm_bridge.corpora.programs import ProgramPair, line_spans
from llm_bridge.training.repair_prompts import line_answer, line_prompt
from llm_bridge.training.settings import MAX_TOKENS
from llm_bridge.training.toy import byte_characters
from llm_bridge.transport.spans import Span, arrived_within

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from llm_bridge.transport.link import ReceivedItem

SUFFIX = "# verdict:"
ANSWERS = (" bug", " ok")
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Example:
    """One received text with the label of the item that was sent.

    Parameters
    ----------
    text
        The received text; an erasure is one U+FFFD.
    label_lines
        Indices of the lines of `text` that hold the bug. Empty for a correct program, and for a buggy one whose
        gold lines were lost: such a row says that there is a bug, and not where.
    buggy
        Whether the *transmitted* text is the buggy version, whatever the channel did to it.
    item_id
        ``corpus/program/version``; rows of the same program stay together in a step.
    fix, fix_line
        Fix for the objective "repair": the lines that belong in the place of the line with that index. `fix` is `None`
        for a correct program, `fix_line` also where that line was lost.
    context
        What stands before the text: comments, or nothing.
    """

    text: str
    label_lines: tuple[int, ...]
    buggy: bool
    item_id: str
    fix: str | None = None
    fix_line: int | None = None
    context: str = ""

    @property
    def reading(self) -> Reading:
        """Text that the model reads, behind its context where it has one."""
        return in_context(self.text, self.context)

    def as_plain(self) -> dict[str, Any]:
        """The fields, for an identity; a context, which is younger than published results, only where there is one."""
        plain = asdict(self)
        return plain if self.context else {name: value for name, value in plain.items() if name != "context"}

    @property
    def group(self) -> str:
        """The program, without the version."""
        return self.item_id.rsplit("/", 1)[0]

    def teaches(self, objectives: Mapping[str, float]) -> bool:
        """Whether some objective of a weight above 0 has a loss on this row."""
        losses = {
            "line": self.buggy and bool(self.label_lines),
            "localise": not self.buggy or bool(self.label_lines),
            "likelihood": not self.buggy,
            "repair": self.fix is not None and self.fix_line is not None,
        }
        return any(weight and losses.get(name, True) for name, weight in objectives.items())


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Token ids around each text: none but the prefix token, or those of a chat template.

    Parameters
    ----------
    before
        Token ids in front of the text; without any, the begin-of-text token stands there.
    after
        Token ids behind the text and its suffix, up to where the model answers.
    classifies
        Whether an encoder reads the text: without suffix, and its answer, 0 for "ok" and 1 for "bug", labels the first
        token.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    classifies: bool = False


RAW = Frame()
"""The frame of a base model: the text alone."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A text as token ids, and where its lines lie among them.

    Parameters
    ----------
    input_ids
        Prefix, text, suffix, and the answer where there is one.
    labels
        As long as `input_ids`: −100 except on the answer.
    num_text
        Number of tokens of the text; they start at index `text_start`.
    text_start
        Index of the text's first token in `input_ids`, at least 1.
    token_line
        Line in which each token of the text begins.
    line_ends
        Index, for each line, in `input_ids` of the token that holds its last byte. Shorter than the number of lines
        where the text was truncated.
    blank
        Whether there is nothing to read in each of these lines: white, or an erasure alone.
    suffix_end
        Index in `input_ids` of the suffix' last token.
    truncated
        Whether the text was cut to fit.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    num_text: int
    token_line: tuple[int, ...]
    line_ends: tuple[int, ...]
    blank: tuple[bool, ...]
    suffix_end: int
    truncated: bool
    text_start: int = 1


# ------------------------------------------------------------------------------------------------ received -> examples


def training_examples(
    received: Iterable[ReceivedItem], pairs: Sequence[ProgramPair], *, context: str = "none"
) -> list[Example]:
    """Rows for what arrived, labelled by what was sent.

    Parameters
    ----------
    received
        Items with ``item.program`` and ``item.version`` ("buggy" or "correct"). What was not delivered gives no row.
    pairs
        Programs that give the labels, by name.
    context
        What is known of each program, one of `llm_bridge.corpora.contexts.CONTEXTS`.

    Raises
    ------
    KeyError
        For an item whose program is in none of `pairs`.
    """
    by_name = {pair.name: pair for pair in pairs}
    rows = []
    for arrival in received:
        pair = by_name[arrival.item.program]
        if not arrival.delivered:
            continue
        buggy = arrival.item.version == "buggy"
        gold = gold_spans(pair) if buggy else ()
        replaced = received_gold_lines(arrival, [line_spans(pair.buggy)[replaced_line(pair)]] if buggy else [])
        rows.append(
            Example(
                text=arrival.text,
                label_lines=received_gold_lines(arrival, gold),
                buggy=buggy,
                item_id=f"{arrival.item.corpus}/{arrival.item.program}/{arrival.item.version}",
                fix=fixed_lines(pair) if buggy else None,
                fix_line=replaced[0] if replaced else None,
                context=context_of(pair, context),
            )
        )
    return rows


def clean_examples(pairs: Iterable[ProgramPair]) -> list[Example]:
    """Rows of both versions of each pair, as a perfect link would deliver them."""
    rows = []
    for pair in pairs:
        lines = tuple(line - 1 for line in pair.gold_lines)
        stem = f"{pair.corpus}/{pair.name}"
        rows.append(
            Example(
                text=pair.buggy,
                label_lines=lines,
                buggy=True,
                item_id=f"{stem}/buggy",
                fix=fixed_lines(pair),
                fix_line=replaced_line(pair),
            )
        )
        rows.append(Example(text=pair.correct, label_lines=(), buggy=False, item_id=f"{stem}/correct"))
    return rows


def gold_spans(pair: ProgramPair) -> tuple[Span, ...]:
    """UTF-8 byte spans of the gold lines in the transmitted buggy text."""
    spans = line_spans(pair.buggy)
    return tuple(spans[line - 1] for line in pair.gold_lines)


def received_gold_lines(arrival: ReceivedItem, gold: Sequence[Span]) -> tuple[int, ...]:
    """Lines of the received text that hold bytes of a gold span which arrived."""
    return tuple(index for index, span in enumerate(arrival.line_spans) if arrived_within(span, gold, arrival.erasures))


def replaced_line(pair: ProgramPair) -> int:
    """Index of the buggy text's line that a fix replaces: the buggy one; for a missing line its neighbour below.

    Where there is none below, it is the last line.
    """
    return min(pair.buggy_line, len(pair.buggy.splitlines())) - 1


def fixed_lines(pair: ProgramPair) -> str:
    """The lines of the correct text that stand where that line was; a missing one comes with its neighbour."""
    buggy, correct = pair.buggy.splitlines(keepends=True), pair.correct.splitlines(keepends=True)
    first = replaced_line(pair)
    tail = len(buggy) - first - 1
    return "".join(correct[first : len(correct) - tail])


# ------------------------------------------------------------------------------------------------ examples -> token ids


def encode_example(
    example: Example, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int = MAX_TOKENS, frame: Frame = RAW
) -> Encoding:
    """`encode_text`, with the true answer: a token at the end, or an encoder's class."""
    answer = int(example.buggy) if frame.classifies else verdict_ids(tokenizer)[0 if example.buggy else 1]
    return encode_text(
        example.text, tokenizer, max_tokens=max_tokens, answer=answer, frame=frame, context=example.context
    )


def encode_repair(
    example: Example, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int = MAX_TOKENS, frame: Frame = RAW
) -> Encoding | None:
    """The prompt that asks for one line's fix, and the fix, labelled; `None` where there is nothing to learn.

    Its answer ends with the end-of-text token, so that a trained model knows when to stop. A prompt that is too long is
    cut at its beginning, as in generation; a fix that leaves no room for a prompt is not learnt.
    """
    if example.fix is None or example.fix_line is None or not example.fix.strip():
        return None
    prompt = _plain_ids(tokenizer, example.context + line_prompt(example.text, example.fix_line)[0])
    answer = _plain_ids(tokenizer, line_answer(example.fix))
    if tokenizer.eos_token_id is not None:
        answer = [*answer, tokenizer.eos_token_id]
    before = frame.before or (_prefix_id(tokenizer),)
    room = max_tokens - len(before) - len(frame.after) - len(answer)
    if room < 1:
        return None
    known = [*before, *prompt[-room:], *frame.after]
    return Encoding(
        input_ids=(*known, *answer),
        labels=(*[IGNORED] * len(known), *answer),
        num_text=len(known) - 1,
        token_line=(),
        line_ends=(),
        blank=(),
        suffix_end=len(known) - 1,
        truncated=len(prompt) > room,
    )


def encode_text(
    text: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int = MAX_TOKENS,
    answer: int | None = None,
    frame: Frame = RAW,
    context: str = "",
) -> Encoding:
    r"""Token ids of a text with prefix and suffix, and the place of its lines among them.

    Parameters
    ----------
    text
        Anything: empty, without newline, full of U+FFFD. Names of special tokens in it are read as plain text.
    tokenizer
        A fast tokenizer (one that knows which characters a token covers).
    max_tokens
        Longest `input_ids`; a longer text is cut at its end.
    answer
        Token put behind the suffix, and labelled; for an encoder the class, 0 or 1, that labels the first token.
    frame
        Token ids around the text, of a chat template (`chat_frame`); by default the prefix token alone.
    context
        Text between the prefix and the text, tokenised by itself, so that texts of a program share its tokens.

    Examples
    --------
    >>> from llm_bridge.training.toy import byte_tokenizer
    >>> encoding = encode_text("a\n\nbc", byte_tokenizer())
    >>> encoding.token_line, encoding.line_ends, encoding.blank
    ((0, 0, 1, 2, 2), (2, 3, 5), (False, True, False))
    """
    before = (*(frame.before or (_prefix_id(tokenizer),)), *_plain_ids(tokenizer, context))
    suffix = [*([] if frame.classifies else tokenizer(SUFFIX, add_special_tokens=False).input_ids), *frame.after]
    start = len(before)
    room = max_tokens - start - len(suffix) - (answer is not None)
    if room < 1:
        least = start + len(suffix)
        behind = " behind its context" if context else ""
        raise ValueError(f"'max_tokens' must leave room for the text{behind}: more than {least} (got {max_tokens})")
    text = text.encode("utf-8", "replace").decode("utf-8")
    ids, ends = _tokenise(text, tokenizer)
    truncated = len(ids) > room
    ids, ends = ids[:room], ends[:room]
    lines = line_spans(text)
    token_line, line_ends = _place_lines(ends, [end for _, end in lines])
    rows = text.splitlines()[: len(line_ends)]
    known = [*before, *ids, *suffix]
    answers = [] if answer is None else [answer]
    labels = [*answers, *[IGNORED] * len(known)][: len(known)] if frame.classifies else [IGNORED] * len(known) + answers
    return Encoding(
        input_ids=tuple(known if frame.classifies else [*known, *answers]),
        labels=tuple(labels),
        num_text=len(ids),
        token_line=tuple(token_line),
        line_ends=tuple(start + token for token in line_ends),
        blank=tuple(not row.replace("\ufffd", " ").strip() for row in rows),
        suffix_end=len(known) - 1,
        truncated=truncated,
        text_start=start,
    )


def class_frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """The tokens that an encoder reads a text between: its class token and its separator."""
    first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else _prefix_id(tokenizer)
    last = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    return Frame(before=(int(first),), after=() if last is None else (int(last),), classifies=True)


def chat_frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """Token ids of the tokenizer's chat template around a user's message, up to the assistant's answer.

    Raises
    ------
    ValueError
        Where the tokenizer has no chat template, or one that changes the message.
    """
    if not tokenizer.chat_template:
        raise ValueError("'chat_template' is asked for, and the model's tokenizer has none")
    mark = "\u2402text\u2403"
    message = [{"role": "user", "content": mark}]
    written = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    parts = str(written).split(mark)
    if len(parts) != 2:
        raise ValueError("'chat_template' is asked for, and the model's template changes the message")
    before, after = (tuple(tokenizer(part, add_special_tokens=False).input_ids) for part in parts)
    return Frame(before=before or (_prefix_id(tokenizer),), after=after)


def verdict_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Token ids of "bug" and "ok": the first tokens in which `ANSWERS` differ (in a large one: the only)."""
    bug, ok = (tokenizer(answer, add_special_tokens=False).input_ids for answer in ANSWERS)
    for a, b in zip(bug, ok, strict=False):
        if a != b:
            return a, b
    raise ValueError(f"the tokenizer does not tell {ANSWERS[0]!r} from {ANSWERS[1]!r}")


def _prefix_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token before the text: without one the first token would have no likelihood."""
    for candidate in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise ValueError("the tokenizer has neither a begin-of-text nor an end-of-text token")


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text alone; names of special tokens in it are read as plain text."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids) if text else []


def _tokenise(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids of a text, and for each the UTF-8 byte at which it ends."""
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    ids: list[int] = list(encoded.input_ids)
    pieces = tokenizer.convert_ids_to_tokens(ids)
    sizes = [len(piece) for piece in pieces]
    alphabet = _byte_alphabet()
    if sum(sizes) == len(text.encode()) and all(alphabet.issuperset(piece) for piece in pieces):
        ends, total = [], 0  # a byte-level vocabulary: one character for each byte
        for size in sizes:
            total += size
            ends.append(total)
        return ids, ends
    byte_at = [0]  # any other: characters to bytes
    for character in text:
        byte_at.append(byte_at[-1] + len(character.encode()))
    ends, reached = [], 0
    for _, end in encoded.offset_mapping:
        reached = max(reached, byte_at[end])
        ends.append(reached)
    return ids, ends


def _byte_alphabet() -> frozenset[str]:
    return frozenset(byte_characters().values())


def _place_lines(token_ends: Sequence[int], line_ends: Sequence[int]) -> tuple[list[int], list[int]]:
    """For each token the line of its first byte; for each line begun, the token that holds its last byte (or the last).

    Both inputs are rising byte positions, ends exclusive.
    """
    token_line: list[int] = []
    last_token: list[int] = []
    line = start = 0
    for token, end in enumerate(token_ends):
        while line < len(line_ends) - 1 and start >= line_ends[line]:
            line += 1
        token_line.append(line)
        while len(last_token) < len(line_ends) and line_ends[len(last_token)] <= end:
            last_token.append(token)
        start = end
    if token_ends and len(last_token) < len(line_ends) and (not last_token or token_line[-1] >= len(last_token)):
        last_token.append(len(token_ends) - 1)  # a line cut in its middle is scored by what is there
    return token_line, last_token


# ------------------------------------------------------------------------------------------ token ids -> batches


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Batch of encodings, padded on the right, so that nothing read depends on the padding.

    Shapes: `input_ids`, `attention_mask`, `labels` (rows, tokens); `line_ends`, `candidate` (rows, lines), where
    `candidate` marks lines that exist and are not blank; `suffix_end`, `num_text`, `text_start` (rows,): the text is
    the `num_text` tokens from `text_start` on.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    line_ends: torch.Tensor
    candidate: torch.Tensor
    suffix_end: torch.Tensor
    num_text: torch.Tensor
    text_start: torch.Tensor


def make_batch(encodings: Sequence[Encoding], *, pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """Pad and stack (at least one encoding)."""
    import torch

    rows, width = len(encodings), max(len(encoding.input_ids) for encoding in encodings)
    lines = max(1, max(len(encoding.line_ends) for encoding in encodings))
    input_ids = torch.full((rows, width), pad_id)
    attention_mask = torch.zeros((rows, width), dtype=torch.long)
    labels = torch.full((rows, width), IGNORED)
    line_ends = torch.zeros((rows, lines), dtype=torch.long)
    candidate = torch.zeros((rows, lines), dtype=torch.bool)
    for row, encoding in enumerate(encodings):
        size, count = len(encoding.input_ids), len(encoding.line_ends)
        input_ids[row, :size] = torch.tensor(encoding.input_ids)
        attention_mask[row, :size] = 1
        labels[row, :size] = torch.tensor(encoding.labels)
        line_ends[row, :count] = torch.tensor(encoding.line_ends, dtype=torch.long)
        candidate[row, :count] = ~torch.tensor(encoding.blank, dtype=torch.bool)
    return Batch(
        input_ids=input_ids.to(device),
        attention_mask=attention_mask.to(device),
        labels=labels.to(device),
        line_ends=line_ends.to(device),
        candidate=candidate.to(device),
        suffix_end=torch.tensor([encoding.suffix_end for encoding in encodings], device=device),
        num_text=torch.tensor([encoding.num_text for encoding in encodings], device=device),
        text_start=torch.tensor([encoding.text_start for encoding in encodings], device=device),
    )


def length_batches(lengths: Sequence[int] | Mapping[int, int], batch_tokens: int) -> list[list[int]]:
    """Indices in batches of near-equal length, each at most `batch_tokens` with its padding (or one index).

    Examples
    --------
    >>> length_batches([5, 90, 6, 100], batch_tokens=200)
    [[0, 2], [1, 3]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if (
            batches
            and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens
            and (lengths[index] <= 1.5 * lengths[batches[-1][0]] + 8)
        ):
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
