"""Wrong operators, methods and constants: comparison, assignment, method called, data structure constant."""

from __future__ import annotations

from llm_bridge.corpora.minibugs_data import Entry

ENTRIES = (
    Entry(
        name="meetings_fit",
        defect_class="incorrect comparison operator",
        docstring="""Can one person attend all meetings?

Input: list of meetings [start, end] in minutes since midnight. One may begin when another ends.
Output: True if no two of them overlap.""",
        program="""
 def meetings_fit(meetings):
     free_from = 0
     for start, end in sorted(meetings):
-        if start <= free_from:
+        if start < free_from:
             return False
         free_from = end
     return True
""",
        tests=(
            ([[]], True),
            ([[[60, 90], [100, 120]]], True),
            ([[[60, 90], [80, 120]]], False),
            ([[[90, 120], [60, 90]]], True),
            ([[[0, 10]]], True),
            ([[[30, 50], [10, 40]]], False),
        ),
    ),
    Entry(
        name="letter_grade",
        defect_class="incorrect comparison operator",
        docstring="""Grade for a score.

Input: the score; list of [letter, least score for it], best grade first.
Output: the best letter whose limit is reached, "F" if none is.""",
        program="""
 def letter_grade(score, limits):
     for letter, limit in limits:
-        if score > limit:
+        if score >= limit:
             return letter
     return 'F'
""",
        tests=(
            ([95, [["A", 90], ["B", 80]]], "A"),
            ([90, [["A", 90], ["B", 80]]], "A"),
            ([85, [["A", 90], ["B", 80]]], "B"),
            ([80, [["A", 90], ["B", 80]]], "B"),
            ([12, [["A", 90], ["B", 80]]], "F"),
            ([50, []], "F"),
        ),
    ),
    Entry(
        name="first_repeat",
        defect_class="incorrect comparison operator",
        docstring="""First item of a list that has occurred before.

Output: that item, None if all items differ.""",
        program="""
 def first_repeat(items):
     seen = set()
     for item in items:
-        if item not in seen:
+        if item in seen:
             return item
         seen.add(item)
     return None
""",
        tests=(
            ([[]], None),
            ([[1, 2, 3]], None),
            ([["a", "b", "b", "a"]], "b"),
            ([[4, 4]], 4),
            ([[3, 1, 2, 1, 3]], 1),
        ),
    ),
    Entry(
        name="compound_savings",
        defect_class="incorrect assignment operator",
        docstring="""Savings after some years at changing interest, in whole cents.

Input: the sum at the start; list of yearly rates in percent. Interest is rounded down each year and kept.""",
        program="""
 def compound_savings(balance, rates):
     for rate in rates:
         interest = balance * rate // 100
-        balance = interest
+        balance += interest
     return balance
""",
        tests=(
            ([1000, []], 1000),
            ([1000, [5]], 1050),
            ([1000, [10, 10]], 1210),
            ([199, [1]], 200),
            ([0, [3, 4]], 0),
        ),
    ),
    Entry(
        name="fill_orders",
        defect_class="incorrect assignment operator",
        docstring="""Which orders can be filled from stock, first come, first served?

Input: dictionary from item to count in stock; list of orders [item, amount].
Output: the items of the orders that were filled, in order; each takes its amount out of stock.""",
        program="""
 def fill_orders(stock, orders):
     filled = []
     for item, amount in orders:
         if stock.get(item, 0) >= amount:
-            stock[item] += amount
+            stock[item] -= amount
             filled.append(item)
     return filled
""",
        tests=(
            ([{}, []], []),
            ([{"pen": 5}, [["pen", 3]]], ["pen"]),
            ([{"pen": 5}, [["pen", 3], ["pen", 3]]], ["pen"]),
            ([{"pen": 5, "ink": 1}, [["ink", 2], ["pen", 5]]], ["pen"]),
            ([{"cup": 2}, [["cup", 1], ["cup", 1], ["cup", 1]]], ["cup", "cup"]),
        ),
    ),
    Entry(
        name="count_record_highs",
        defect_class="incorrect assignment operator",
        docstring="""How often does a series of temperatures set a new record?

Input: non-empty list; the first day sets no record.
Output: number of days warmer than every day before.""",
        program="""
 def count_record_highs(temperatures):
     highs = 0
     record = temperatures[0]
     for temperature in temperatures:
         if temperature > record:
             highs += 1
-            record += temperature
+            record = temperature
     return highs
""",
        tests=(
            ([[5]], 0),
            ([[1, 2, 3]], 2),
            ([[3, 2, 1]], 0),
            ([[10, 12, 11, 13, 14]], 3),
            ([[0, 4, 4, 5]], 2),
        ),
    ),
    Entry(
        name="split_extension",
        defect_class="incorrect method called",
        docstring="""Split a file name into stem and extension.

Output: [stem, extension without its dot]; the extension begins after the last dot, and is empty where there is none or
where the only dot begins the name.""",
        program="""
 def split_extension(filename):
-    dot = filename.find('.')
+    dot = filename.rfind('.')
     if dot <= 0:
         return [filename, '']
     return [filename[:dot], filename[dot + 1:]]
""",
        tests=(
            (["notes.txt"], ["notes", "txt"]),
            (["README"], ["README", ""]),
            (["data.tar.gz"], ["data.tar", "gz"]),
            ([".profile"], [".profile", ""]),
            (["v1.2.zip"], ["v1.2", "zip"]),
        ),
    ),
    Entry(
        name="clean_tags",
        defect_class="incorrect method called",
        docstring="""Turn a line of tags separated by semicolons into a list.

Output: the tags in lower case without surrounding blanks; empty ones are left out.""",
        program="""
 def clean_tags(line):
     tags = []
     for part in line.split(';'):
-        tag = part.rstrip()
+        tag = part.strip()
         if tag:
             tags.append(tag.lower())
     return tags
""",
        tests=(
            ([""], []),
            (["Red;Blue"], ["red", "blue"]),
            (["red; Dark Blue ;green"], ["red", "dark blue", "green"]),
            (["a;;b"], ["a", "b"]),
            ([" one ; two"], ["one", "two"]),
        ),
    ),
    Entry(
        name="shared_skills",
        defect_class="incorrect method called",
        docstring="""Skills that every member of a team has.

Input: non-empty list with each member's list of skills.
Output: the shared skills in alphabetical order.""",
        program="""
 def shared_skills(team):
     shared = set(team[0])
     for skills in team[1:]:
-        shared = shared.symmetric_difference(skills)
+        shared = shared.intersection(skills)
     return sorted(shared)
""",
        tests=(
            ([[["ski", "cook"]]], ["cook", "ski"]),
            ([[["a", "b"], ["b", "c"]]], ["b"]),
            ([[["a"], ["b"]]], []),
            ([[["x", "y"], ["y", "x"], ["x", "y", "z"]]], ["x", "y"]),
            ([[[], ["a"]]], []),
        ),
    ),
    Entry(
        name="running_totals",
        defect_class="incorrect data structure constant",
        docstring="""Running totals of a list of numbers.

Output: list of the same length; its n-th entry is the sum of the first n numbers.""",
        program="""
 def running_totals(numbers):
-    totals = [0]
+    totals = []
     total = 0
     for number in numbers:
         total += number
         totals.append(total)
     return totals
""",
        tests=(
            ([[]], []),
            ([[5]], [5]),
            ([[1, 2, 3]], [1, 3, 6]),
            ([[2, -2, 4]], [2, 0, 4]),
            ([[0, 0]], [0, 0]),
        ),
    ),
    Entry(
        name="file_size",
        defect_class="incorrect data structure constant",
        docstring="""Write a file's size for people, as in "12 kB".

Input: size in bytes.
Output: the size rounded down in the largest of the units B, kB, MB, GB that leaves at least 1.""",
        program="""
 def file_size(size):
-    units = ['', 'B', 'kB', 'MB', 'GB']
+    units = ['B', 'kB', 'MB', 'GB']
     power = 0
     while size >= 1000 and power < 3:
         size //= 1000
         power += 1
     return str(size) + ' ' + units[power]
""",
        tests=(
            ([0], "0 B"),
            ([999], "999 B"),
            ([1000], "1 kB"),
            ([2500000], "2 MB"),
            ([7000000000], "7 GB"),
            ([1234567890123], "1234 GB"),
        ),
    ),
    Entry(
        name="perimeter",
        defect_class="incorrect data structure constant",
        docstring="""Perimeter of a shape made of unit squares.

Input: list of squares [row, column], all different.
Output: number of sides that do not touch another square of the shape.""",
        program="""
 def perimeter(squares):
     sides = 0
     for row, column in squares:
-        for down, right in [(0, 1), (1, 0), (1, 1), (0, -1), (-1, 0)]:
+        for down, right in [(0, 1), (1, 0), (0, -1), (-1, 0)]:
             if [row + down, column + right] not in squares:
                 sides += 1
     return sides
""",
        tests=(
            ([[]], 0),
            ([[[0, 0]]], 4),
            ([[[0, 0], [0, 1]]], 6),
            ([[[0, 0], [0, 1], [1, 0], [1, 1]]], 8),
            ([[[2, 3], [7, 7]]], 8),
        ),
    ),
)
