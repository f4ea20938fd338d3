"""Defects of omission: a missing function call, a missing line, a missing condition."""

from __future__ import annotations

from llm_bridge.corpora.minibugs_data import Entry

ENTRIES = (
    Entry(
        name="sum_column",
        defect_class="missing function call",
        docstring="""Add up one column of a table given as comma-separated text.

Input: text, one row a line; index of the column, whose cells are all numbers.
Output: the sum as a float, 0 for an empty table.""",
        program="""
 def sum_column(table, column):
     total = 0
     for line in table.splitlines():
         cells = line.split(',')
-        total += cells[column]
+        total += float(cells[column])
     return total
""",
        tests=(
            (["", 0], 0),
            (["1,2\n3,4", 0], 4.0),
            (["1,2\n3,4", 1], 6.0),
            (["tea,2.5\nmilk,0.5\nrice,4", 1], 7.0),
            (["7", 0], 7.0),
        ),
    ),
    Entry(
        name="median",
        defect_class="missing function call",
        docstring="""Median of a non-empty list of numbers in any order.

Output: the middle value; of an even count, the mean of the two middle values.""",
        program="""
 def median(values):
-    ordered = values
+    ordered = sorted(values)
     middle = len(ordered) // 2
     if len(ordered) % 2 == 1:
         return ordered[middle]
     return (ordered[middle - 1] + ordered[middle]) / 2
""",
        tests=(
            ([[5]], 5),
            ([[1, 2, 9]], 2),
            ([[9, 1, 2]], 2),
            ([[4, 1, 3, 2]], 2.5),
            ([[10, 30, 20, 0]], 15.0),
            ([[7, 7, 1]], 7),
        ),
    ),
    Entry(
        name="biggest_drop",  # the class's reverse: a call too many, as in one of QuixBugs' programs
        defect_class="missing function call",
        docstring="""Largest fall from one price to the next in a list of prices.

Output: earlier minus later price at the steepest fall, 0 if the prices never fall.""",
        program="""
 def biggest_drop(prices):
     worst = 0
     for earlier, later in zip(prices, prices[1:]):
-        worst = max(worst, abs(earlier - later))
+        worst = max(worst, earlier - later)
     return worst
""",
        tests=(
            ([[]], 0),
            ([[10, 7, 9]], 3),
            ([[1, 5, 4]], 1),
            ([[1, 2, 3]], 0),
            ([[8, 2, 20, 15]], 6),
            ([[4]], 0),
        ),
    ),
    Entry(
        name="read_config",
        defect_class="missing line",
        docstring="""Read settings out of text: lines "[section]" and lines "key=value".

Output: dictionary from "section.key" to value; keys before any section belong to "main".""",
        program="""
 def read_config(text):
     config = {}
     section = 'main'
     for line in text.splitlines():
         if line.startswith('['):
             section = line.strip('[]')
+            continue
         key, _, value = line.partition('=')
         config[section + '.' + key] = value
     return config
""",
        tests=(
            ([""], {}),
            (["a=1\nb=2"], {"main.a": "1", "main.b": "2"}),
            (["[net]\nport=80"], {"net.port": "80"}),
            (["x=y=z"], {"main.x": "y=z"}),
            (["k=0\n[a]\nk=1\n[b]\nk=2"], {"main.k": "0", "a.k": "1", "b.k": "2"}),
        ),
    ),
    Entry(
        name="sessions",
        defect_class="missing line",
        docstring="""Split a visitor's click times into sessions.

Input: non-empty ascending list of times; the longest pause within a session.
Output: list of sessions, each a list of times.""",
        program="""
 def sessions(times, pause):
     groups = [[]]
     previous = times[0]
     for time in times:
         if time - previous > pause:
             groups.append([])
         groups[-1].append(time)
+        previous = time
     return groups
""",
        tests=(
            ([[3], 5], [[3]]),
            ([[1, 2, 3], 5], [[1, 2, 3]]),
            ([[0, 4, 8, 12], 5], [[0, 4, 8, 12]]),
            ([[0, 1, 10, 11], 3], [[0, 1], [10, 11]]),
            ([[0, 20, 40], 10], [[0], [20], [40]]),
        ),
    ),
    Entry(
        name="card_number_valid",
        defect_class="missing line",
        docstring="""Check a card number, a string of digits, by the Luhn rule.

From the right, every second digit is doubled (minus 9 if that exceeds 9); the sum must be a multiple of 10.""",
        program="""
 def card_number_valid(number):
     total = 0
     for place, digit in enumerate(reversed(number)):
         value = int(digit)
         if place % 2 == 1:
             value *= 2
+            value -= 9 * (value > 9)
         total += value
     return total % 10 == 0
""",
        tests=(
            (["0"], True),
            (["18"], True),
            (["79927398713"], True),
            (["79927398710"], False),
            (["4539578763621486"], True),
            (["91"], True),
            (["2121"], True),
        ),
    ),
    Entry(
        name="live_neighbours",
        defect_class="missing condition",
        docstring="""Count the living cells around one cell in the Game of Life.

Input: list of living cells [row, column]; the row and the column of the cell in question.
Output: how many of its eight neighbours live; the cell itself does not count.""",
        program="""
 def live_neighbours(alive, row, column):
     count = 0
     for r in range(row - 1, row + 2):
         for c in range(column - 1, column + 2):
-            if [r, c] in alive:
+            if [r, c] in alive and [r, c] != [row, column]:
                 count += 1
     return count
""",
        tests=(
            ([[], 0, 0], 0),
            ([[[0, 0]], 0, 0], 0),
            ([[[0, 1], [2, 2], [1, 1]], 1, 1], 2),
            ([[[5, 5]], 4, 4], 1),
            ([[[0, 0], [0, 1], [0, 2]], 0, 1], 2),
            ([[[9, 9]], 4, 4], 0),
        ),
    ),
    Entry(
        name="items_to_discard",
        defect_class="missing condition",
        docstring="""Names of goods that must be thrown away today, in the order of the list.

Input: list of goods, dictionaries with "name", "best_before" (ISO date) and "count"; today's ISO date.
Goods whose date lies before today are discarded, if any are left in stock.""",
        program="""
 def items_to_discard(goods, today):
     names = []
     for item in goods:
-        if item['best_before'] < today:
+        if item['best_before'] < today and item['count'] > 0:
             names.append(item['name'])
     return names
""",
        tests=(
            ([[], "2024-05-01"], []),
            ([[{"name": "milk", "best_before": "2024-04-30", "count": 2}], "2024-05-01"], ["milk"]),
            ([[{"name": "milk", "best_before": "2024-05-01", "count": 2}], "2024-05-01"], []),
            ([[{"name": "eggs", "best_before": "2024-04-01", "count": 0}], "2024-05-01"], []),
            (
                [
                    [
                        {"name": "ham", "best_before": "2023-12-31", "count": 1},
                        {"name": "jam", "best_before": "2023-12-31", "count": 0},
                        {"name": "tea", "best_before": "2026-01-01", "count": 9},
                    ],
                    "2024-01-01",
                ],
                ["ham"],
            ),
        ),
    ),
    Entry(
        name="split_fields",
        defect_class="missing condition",
        docstring="""Split one line of comma-separated values.

A comma between double quotes is part of its field; the quotes themselves are dropped.""",
        program="""
 def split_fields(line):
     fields = ['']
     quoted = False
     for char in line:
         if char == '"':
             quoted = not quoted
-        elif char == ',':
+        elif char == ',' and (not quoted):
             fields.append('')
         else:
             fields[-1] += char
     return fields
""",
        tests=(
            ([""], [""]),
            (["a,b"], ["a", "b"]),
            (['"a,b"'], ["a,b"]),
            (["1,,3"], ["1", "", "3"]),
            (['x,"y, z",w'], ["x", "y, z", "w"]),
        ),
    ),
)
