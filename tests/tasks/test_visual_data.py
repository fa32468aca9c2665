"""SAT, CV-Bench and users' files, from files of their exact schemas written here."""

import io
import json
import logging

import polars as pl
import pytest
from PIL import Image

from r1zero.config import TaskConfig
from r1zero.grading import check_gold, grade
from r1zero.records import Problem
from r1zero.tasks import build_task
from r1zero.tasks.pictures import open_picture
from r1zero.tasks.templates import TEMPLATES, parse_template
from r1zero.tasks.visual_rows import split_files

SAT = {
    "image_bytes": pl.List(pl.Binary),
    "question": pl.String,
    "answers": pl.List(pl.String),
    "correct_answer": pl.String,
    "question_type": pl.String,
}
CVBENCH = {
    "idx": pl.Int64,
    "type": pl.String,
    "task": pl.String,
    "image": pl.Struct({"bytes": pl.Binary, "path": pl.String}),
    "question": pl.String,
    "choices": pl.List(pl.String),
    "answer": pl.String,
    "prompt": pl.String,
    "filename": pl.String,
    "source": pl.String,
    "source_dataset": pl.String,
    "source_filename": pl.String,
    "target_class": pl.String,
    "target_size": pl.Int64,
    "bbox": pl.List(pl.List(pl.Float64)),
}


def picture(colour=(200, 10, 10), size=(64, 48), form="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


def sat_row(number=0, **changes):
    row = {
        "image_bytes": [picture((number % 256, number // 256, 7))],
        "question": f"Where is the chair in room {number}?",
        "answers": ["left of me", "up, then left", "behind"],
        "correct_answer": "up, then left",
        "question_type": "ego_movement",
    }
    return row | changes


def cvbench_row(number=0, **changes):
    row = {
        "idx": number,
        "type": "2D",
        "task": "Count",
        "image": {"bytes": picture((3, number % 256, 9), form="PNG"), "path": None},
        "question": "How many chairs are in the image?",
        "choices": ["3", "2", "1", "0"],
        "answer": "(B)",
        "prompt": "How many chairs are in the image? Select from the following choices.\n(A) 3\n(B) 2\n(C) 1\n(D) 0",
        "filename": f"img/2D/count/{number}.png",
        "source": "ADE20K",
        "source_dataset": "ADE20K Validation Set",
        "source_filename": "a.jpg",
        "target_class": "chair",
        "target_size": 1,
        "bbox": [[0.5, 1.0, 2.0, 3.0]],
    }
    return row | changes


@pytest.fixture
def read(tmp_path):
    """Problems of rows written in a schema."""

    def from_rows(name, rows, *, seed=0, schema=None, file="data.parquet", split="eval", **settings):
        path = tmp_path / file
        if schema is not None:
            pl.DataFrame(rows, schema=schema, strict=True).write_parquet(path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = TaskConfig(name=name, path=str(path), kept_images=str(tmp_path / "kept"), **settings)
        task = build_task(config, seed, whole_file=True)
        return task.rows[split]

    return from_rows


def opened(problem, folder):
    return [open_picture(image, folder).getpixel((5, 5)) for image in problem.images]


def test_sat_asks_in_visualthinkers_words_with_every_candidate_whole(read, tmp_path):
    (problem,) = read("sat", [sat_row(9)], schema=SAT)
    one, two, three = problem.fields["choices"]
    assert sorted([one, two, three]) == ["behind", "left of me", "up, then left"]
    assert problem.text == (
        "Answer in natural language. Where is the chair in room 9? "
        f"Choose between the following options: {one}, {two} or {three}"
    )
    assert (problem.id, problem.task, problem.fields["subtask"]) == ("sat/000000", "choices", "ego_movement")
    assert grade("<answer>Up, then left.</answer>", problem.gold, "answer_first").correct
    assert not grade("<answer>up</answer>", problem.gold, "answer_first").correct
    assert not grade("<answer>B</answer>", problem.gold, "answer_first").correct  # no letters were shown
    ((red, green, blue),) = opened(problem, tmp_path / "kept")
    assert abs(red - 9) < 4 and abs(green) < 4 and abs(blue - 7) < 4


def test_the_order_of_choices_follows_from_seed_and_row(read):
    rows = [sat_row(n) for n in range(24)]
    once, again, other = (read("sat", rows, schema=SAT, seed=seed) for seed in (0, 0, 1))
    orders = [tuple(problem.fields["choices"]) for problem in once]
    assert len(set(orders)) == 6  # of three choices, all orders occur
    assert once == again
    assert [tuple(problem.fields["choices"]) for problem in other] != orders
    assert {problem.gold.count('"answer": "up, then left"') for problem in once} == {1}


def test_rows_with_several_pictures_are_kept_in_order_or_left_out_and_counted(read, tmp_path, caplog):
    two = sat_row(1, image_bytes=[picture((250, 0, 0)), picture((0, 250, 0))])
    problems = read("sat", [sat_row(0), two, sat_row(2)], schema=SAT)
    assert [len(problem.images) for problem in problems] == [1, 2, 1]
    before, after = opened(problems[1], tmp_path / "kept")
    assert before[0] > 200 and after[1] > 200
    with caplog.at_level(logging.WARNING, "r1zero"):
        alone = read("sat", [sat_row(0), two, sat_row(2)], schema=SAT, max_pictures=1)
    assert [problem.id for problem in alone] == ["sat/000000", "sat/000002"]
    assert "1 rows left out (1 more than 1 pictures)" in caplog.text


def test_the_first_rows_are_read_across_slices_and_a_picture_is_kept_once(read, tmp_path):
    rows = [sat_row(n, image_bytes=[picture((n % 3, 0, 0), form="PNG")]) for n in range(150)]
    problems = read("sat", rows, schema=SAT, num_rows=130)
    assert [problem.id for problem in problems] == [f"sat/{n:06d}" for n in range(130)]
    assert [opened(problem, tmp_path / "kept") for problem in problems] == [[(n % 3, 0, 0)] for n in range(130)]
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_cvbench_is_asked_in_its_own_prompt_and_answered_by_letter_or_words(read, tmp_path):
    depth = cvbench_row(
        1, type="3D", task="Depth", source="Omni3D", choices=["chair", "table"], answer="(A)", prompt=None
    )
    count, scene = read("cvbench", [cvbench_row(0), depth], schema=CVBENCH)
    assert count.text.endswith("choices.\n(A) 3\n(B) 2\n(C) 1\n(D) 0") and count.id == "cvbench/0"
    assert scene.text == "How many chairs are in the image? Select from the following choices.\n(A) chair\n(B) table"
    assert [scene.fields[key] for key in ("subtask", "dimension", "source")] == ["Depth", "3D", "Omni3D"]
    right = ["(B)", "B", "b", "2", "two", "<answer>(B) 2</answer>", "<think>3?</think><answer>\n2</answer>"]
    assert all(grade(answer, count.gold, "answer_or_all").correct for answer in right)
    assert not any(grade(answer, count.gold, "answer_or_all").correct for answer in ("A", "3", "(A) 2", "4", ""))
    assert opened(count, tmp_path / "kept") == [(3, 0, 9)]


def test_a_folder_holds_both_halves_of_cvbench(tmp_path):
    folder = tmp_path / "cvbench"
    folder.mkdir()
    for half, number in (("2d", 0), ("3d", 1438)):
        pl.DataFrame([cvbench_row(number)], schema=CVBENCH).write_parquet(folder / f"test_{half}.parquet")
    config = TaskConfig(name="cvbench", path=str(folder), kept_images=str(tmp_path / "kept"))
    task = build_task(config, 0, whole_file=True)
    assert [problem.id for problem in task.rows["eval"]] == ["cvbench/0", "cvbench/1438"]
    assert task.problems("eval", 1, 1)[0].id == "cvbench/1438"


def test_three_shapes_of_users_files_ask_the_same(read, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(picture((1, 2, 3), form="PNG"))
    text = "<image>How many boxes?"
    vlm_r1 = {
        "id": 7,
        "image": "a.png",
        "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "<answer> 3 </answer>"}],
    }
    sharegpt = {
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "3"}],
        "images": ["a.png"],
    }
    easy_r1 = {"problem": text, "answer": "3", "images": ["a.png"]}
    settings = {"images": str(tmp_path / "pictures")}
    for row, file in ((vlm_r1, "a.jsonl"), (sharegpt, "a.json"), (easy_r1, "b.jsonl")):
        (problem,) = read("visual_file", [row], file=file, **settings)
        assert (problem.text, problem.gold, problem.task) == (text, "3", "math")
        assert opened(problem, None) == [(1, 2, 3)]
    mixed = [vlm_r1, easy_r1 | {"images": [], "problem": "1 + 2?"}, vlm_r1 | {"image": ["a.png", "a.png"]}]
    mixed[2]["conversations"] = [{"from": "human", "value": "<image> or <image>?"}, {"from": "gpt", "value": "3"}]
    assert [len(p.images) for p in read("visual_file", mixed, file="c.jsonl", **settings)] == [1, 0, 2]


def test_easy_r1_parquet_holds_its_pictures_as_structs(read, tmp_path):
    struct = pl.List(pl.Struct({"bytes": pl.Binary, "path": pl.String}))
    row = {"images": [{"bytes": picture((4, 5, 6), form="PNG"), "path": "x.png"}], "problem": "<image>Area?", "answer": "\\frac{1}{2}"}  # fmt: skip  # noqa: E501
    schema = {"images": struct, "problem": pl.String, "answer": pl.String}
    (problem,) = read("visual_file", [row], schema=schema)
    assert opened(problem, tmp_path / "kept") == [(4, 5, 6)]
    assert grade("<answer>0.5</answer>", problem.gold, "answer_first", task=problem.task).correct


def test_options_of_a_users_row_make_a_multiple_choice_of_letter_or_text(read):
    row = {"question": "Which?", "options": ["box", "chair"], "answer": "B"}
    for answer in ("B", "(b)", "chair"):
        (problem,) = read("visual_file", [row | {"answer": answer}], file="a.jsonl")
        check_gold(problem)
        assert [grade(said, problem.gold, "answer_or_all").correct for said in ("chair", "B", "box")] == [True, True, False]  # fmt: skip  # noqa: E501


TRUNCATED = picture(size=(256, 256))[:-200]


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("sat", sat_row(image_bytes=[b"no picture"]), "row 1: picture cannot be used: .*corrupt"),
        ("sat", sat_row(image_bytes=[TRUNCATED]), "row 1: picture cannot be used: .*truncated"),
        ("sat", sat_row(image_bytes=[picture(size=(101, 100))]), "row 1: picture cannot be used: .*101 x 100 pixels"),
        ("sat", sat_row(image_bytes=[]), "row 1: picture is missing"),
        ("sat", sat_row(image_bytes=[None]), "row 1: picture is missing"),
        ("sat", sat_row(correct_answer="above"), "row 1: choices: the answer 'above' is not among the choices"),
        ("sat", sat_row(answers=[]), "row 1: choices: there are no choices"),
        ("sat", sat_row(question=" "), "row 1: no question"),
        ("sat", sat_row(question="Is <image> or <image>?"), "row 1: number of <image> marks: the text has 2"),
        ("cvbench", cvbench_row(answer="(E)"), r"row 1: choices: the answer '\(E\)' is not among the 4"),
        ("cvbench", cvbench_row(choices=[]), "row 1: choices: choices=.* must be a list with at least one"),
        ("cvbench", cvbench_row(choices=["3", "3"]), "row 1: choices: the choice '3' stands there twice"),
        ("cvbench", cvbench_row(task="Colour"), "row 1: sub-task: task='Colour' is none of Count"),
        ("cvbench", cvbench_row(image=None), "row 1: picture is missing"),
        ("cvbench", cvbench_row(image={"bytes": None, "path": "gone.png"}), "row 1: picture is missing: .*gone.png"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_asked_is_named_or_left_out_and_counted(read, caplog, task, row, message):
    good, schema = (sat_row(5), SAT) if task == "sat" else (cvbench_row(5), CVBENCH)
    settings = {"schema": schema, "max_picture_pixels": 10_099 if row is not None and "101" in message else 1 << 20}
    with pytest.raises(ValueError, match=rf"data\.parquet, {message}.*--task\.bad_rows skip"):
        read(task, [good, row], **settings)
    with caplog.at_level(logging.WARNING, "r1zero"):
        assert len(read(task, [good, row], bad_rows="skip", **settings)) == 1
    assert "1 rows left out" in caplog.text and "data.parquet, row 1" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "<image>p", "answer": "1"}, "row 0: number of <image> marks: the text has 1 and the row 0"),
        ({"problem": "p", "answer": ""}, "row 0: no answer"),
        ({"problem": "p", "reply": "1"}, "row 0: shape: columns problem, reply hold no `messages`"),
        ({"messages": [{"role": "user", "content": "p"}]}, "row 0: conversation: 1 messages"),
        ({"conversations": ["p"]}, "row 0: conversation: 'p' is no message"),
        ({"problem": "p", "answer": "1", "images": ["gone.png"]}, r"row 0: picture is missing: .*gone\.png"),
        ({"problem": "p", "answer": "c", "choices": ["a", "b"]}, "row 0: choices: the answer 'c' is not among"),
        ({"problem": "p", "answer": "a", "choices": "a b"}, "row 0: choices: 'a b' must be a list"),
    ],
)
def test_a_users_row_that_cannot_be_asked_is_named(read, row, message):
    with pytest.raises(ValueError, match=message):
        read("visual_file", [row], file="a.jsonl")


def test_a_file_that_is_none_is_named(tmp_path):
    def build(name, path):
        return build_task(TaskConfig(name=name, path=path), 0)

    (tmp_path / "broken.jsonl").write_text('{"problem": ')
    (tmp_path / "list.json").write_text('{"problem": "p"}')
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "empty").mkdir()
    for name, message in [
        ("gone.parquet", "no data file at"),
        ("broken.jsonl", "is not a readable jsonl file"),
        ("broken.parquet", "is not a readable parquet file"),
        ("list.json", "must hold a list of objects"),
        ("empty", "holds no file that ends in"),
        ("a.csv", "cannot read .*a.csv: give a"),
    ]:
        with pytest.raises(ValueError, match=message):
            build("visual_file", str(tmp_path / name))
    with pytest.raises(ValueError, match=r"visual_file needs task\.path"):
        build("visual_file", None)


def test_no_picture_is_both_trained_on_and_held_out(tmp_path):
    rows = [sat_row(n // 2) for n in range(400)]  # two questions a picture
    chain = [picture((n, 0, 7), form="PNG") for n in range(51)]
    rows += [sat_row(400, image_bytes=[chain[n], chain[n + 1]]) for n in range(50)]
    pl.DataFrame(rows, schema=SAT).write_parquet(tmp_path / "sat.parquet")
    config = TaskConfig(name="sat", path=str(tmp_path / "sat.parquet"), kept_images=str(tmp_path / "kept"))
    task = build_task(config, 0)
    pictures = {split: {image for p in rows for image in p.images} for split, rows in task.rows.items()}
    assert not pictures["train"] & pictures["eval"] and 5 < len(pictures["eval"]) < 60
    in_neither = 450 - sum(map(len, task.rows.values()))
    assert 0 < in_neither < 20 and task.left_out == {"with a held-out picture among others": in_neither}


def test_files_of_a_hub_data_set_are_told_apart_by_the_words_of_their_names():
    sat = ["README.md", "SAT_static.parquet", "SAT_test.parquet", "SAT_train.parquet", "SAT_val.parquet"]
    assert split_files(sat, "", "train") == ["SAT_train.parquet"]
    parts = [f"data/{split}-{n:05d}-of-00002.parquet" for split in ("train", "test") for n in (0, 1)]
    assert split_files(parts, "default", "test") == parts[2:]
    halves = ["test_2d.parquet", "test_3d.parquet", "img/2D/a.png"]
    assert [split_files(halves, half, "test") for half in ("", "2D", "3D")] == [halves[:2], halves[:1], halves[1:2]]
    assert split_files(halves, "", "train") == []


QUESTION = "Answer in natural language. Which? Choose between the following options: left or right"


def test_visualthinkers_prompts_are_quoted_to_the_letter():
    problem = Problem("p", "choices", QUESTION, "", images=("a.png",))
    opening = "<image>A conversation between User and Assistant. The user asks a question about the image, and the Assistant solves it."  # noqa: E501
    assert TEMPLATES["visualthinker"].render(problem) == (
        opening + " The assistant first thinks about the reasoning process in the mind and then provides the user with "
        f"the answer.\nUser: {QUESTION} \nAssistant: Let me solve this step by step.\n<think>"
    )
    assert TEMPLATES["visualthinker_direct"].render(problem) == f"{opening}\nUser: {QUESTION} \nAssistant: "
    chat = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>{}<|im_end|>\n<|im_start|>assistant\n"  # noqa: E501
    for name, asked in [
        ("visualthinker_instruct", "  Output the thinking process in <think> </think> and final answer (option) in "),
        ("visualthinker_instruct_eval", "\nOutput the thinking process in <think> </think> and final answer in "),
    ]:
        assert TEMPLATES[name].render(problem) == chat.format(f"{QUESTION}{asked}<answer> </answer> tags.")
    assert TEMPLATES["qwen2_vl"].render(problem) == chat.format(QUESTION)


def test_pictures_stand_where_the_text_marks_them_else_where_the_template_wants_them():
    template = parse_template("mine", '{# r1zero: answer_format="boxed" #}\nLook: {{ pictures }}{{ text }}')
    two = ("a.png", "b.png")
    assert template.render(Problem("p", "math", "Same?", "1", images=two)) == "Look: <image><image>Same?"
    assert template.render(Problem("p", "math", "<image> and <image>", "1", images=two)) == "Look: <image> and <image>"
    assert template.render(Problem("p", "math", "1 + 1?", "2")) == "Look: 1 + 1?"
