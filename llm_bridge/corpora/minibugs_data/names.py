"""The wrong name or the wrong order: variable swap, incorrect variable, variable prepend, field dereference."""

from __future__ import annotations

from llm_bridge.corpora.minibugs_data import Entry

ENTRIES = (
    Entry(
        name="blend_colours",
        defect_class="variable swap",
        docstring="""Mix two colours.

Input: two colours as lists of channel values; the share of the second colour in percent.
Output: the mixed colour, channels rounded down.""",
        program="""
 def blend_colours(base, tint, percent):
     mixed = []
     for a, b in zip(base, tint):
-        mixed.append((a * percent + b * (100 - percent)) // 100)
+        mixed.append((b * percent + a * (100 - percent)) // 100)
     return mixed
""",
        tests=(
            ([[0, 0, 0], [200, 100, 50], 50], [100, 50, 25]),
            ([[10, 20, 30], [90, 80, 70], 0], [10, 20, 30]),
            ([[10, 20, 30], [90, 80, 70], 100], [90, 80, 70]),
            ([[100], [200], 25], [125]),
            ([[], [], 30], []),
        ),
    ),
    Entry(
        name="rotate_right",
        defect_class="variable swap",
        docstring="""Turn a rectangular grid by 90 degrees clockwise.

Input: non-empty list of rows.
Output: the turned grid, a new list of rows.""",
        program="""
 def rotate_right(grid):
     height = len(grid)
     turned = [[None] * height for _ in grid[0]]
     for r, row in enumerate(grid):
         for c, cell in enumerate(row):
-            turned[r][height - 1 - c] = cell
+            turned[c][height - 1 - r] = cell
     return turned
""",
        tests=(
            ([[[7]]], [[7]]),
            ([[[1, 2], [3, 4]]], [[3, 1], [4, 2]]),
            ([[[1, 2, 3]]], [[1], [2], [3]]),
            ([[["a"], ["b"]]], [["b", "a"]]),
            ([[[1, 2, 3], [4, 5, 6]]], [[4, 1], [5, 2], [6, 3]]),
        ),
    ),
    Entry(
        name="clock_text",
        defect_class="variable swap",
        docstring="""Write a duration in seconds as hours:minutes:seconds.

Minutes and seconds have two digits, hours as many as they need.""",
        program="""
 def clock_text(seconds):
-    seconds, minutes = divmod(seconds, 60)
+    minutes, seconds = divmod(seconds, 60)
     hours, minutes = divmod(minutes, 60)
     return f'{hours}:{minutes:02}:{seconds:02}'
""",
        tests=(
            ([0], "0:00:00"),
            ([59], "0:00:59"),
            ([61], "0:01:01"),
            ([3600], "1:00:00"),
            ([45296], "12:34:56"),
        ),
    ),
    Entry(
        name="word_index",
        defect_class="incorrect variable",
        docstring="""Index of the words in a book.

Input: list of the pages' texts.
Output: dictionary from each word, in lower case, to the numbers of the pages it stands on, counted from 1; a page is
listed once for every occurrence.""",
        program="""
 def word_index(pages):
     index = {}
     for number, text in enumerate(pages, 1):
         for word in text.lower().split():
-            index.setdefault(word, []).append(text)
+            index.setdefault(word, []).append(number)
     return index
""",
        tests=(
            ([[]], {}),
            ([["The cat"]], {"the": [1], "cat": [1]}),
            ([["a b", "b c"]], {"a": [1], "b": [1, 2], "c": [2]}),
            ([["", "x"]], {"x": [2]}),
            ([["no no"]], {"no": [1, 1]}),
        ),
    ),
    Entry(
        name="longest_run",
        defect_class="incorrect variable",
        docstring="""Length of the longest run of one and the same character in a text.

Output: 0 for the empty text.""",
        program="""
 def longest_run(text):
     best = length = 0
     last_letter = None
     for letter in text:
         length = length + 1 if letter == last_letter else 1
-        best = max(last_letter, length)
+        best = max(best, length)
         last_letter = letter
     return best
""",
        tests=(
            ([""], 0),
            (["a"], 1),
            (["aab"], 2),
            (["abbbcc"], 3),
            (["xyxy"], 1),
        ),
    ),
    Entry(
        name="best_day",
        defect_class="incorrect variable",
        docstring="""On which day were the most tickets sold?

Input: non-empty list of the sales of each day.
Output: index of the best day, the first one if several are equal.""",
        program="""
 def best_day(sales):
     best = 0
     for day in range(len(sales)):
         if sales[day] > sales[best]:
-            best = sales[day]
+            best = day
     return best
""",
        tests=(
            ([[4]], 0),
            ([[1, 2]], 1),
            ([[5, 9, 7]], 1),
            ([[3, 3, 3]], 0),
            ([[0, 4, 2, 8, 8]], 3),
        ),
    ),
    Entry(
        name="absolute_links",
        defect_class="variable prepend",
        docstring="""Turn the links of a web page into absolute ones.

Input: address of the site, without a slash at its end; list of links.
Output: the links in order; those that do not begin with "http" are taken to lie below the site's address.""",
        program="""
 def absolute_links(site, links):
     absolute = []
     for link in links:
         if not link.startswith('http'):
             link = site + '/' + link
-        absolute.append(site + link)
+        absolute.append(link)
     return absolute
""",
        tests=(
            (["http://a.org", []], []),
            (["http://a.org", ["x"]], ["http://a.org/x"]),
            (["http://a.org", ["http://b.org/y"]], ["http://b.org/y"]),
            (["https://c.net", ["p", "q/r"]], ["https://c.net/p", "https://c.net/q/r"]),
            (["https://c.net", ["https://c.net", "z"]], ["https://c.net", "https://c.net/z"]),
        ),
    ),
    Entry(
        name="recent_files",
        defect_class="variable prepend",
        docstring="""List of recently opened files, the last opened first.

Input: names in the order in which they were opened; the length of the list.
Output: at most that many names, each once.""",
        program="""
 def recent_files(opened, limit):
     recent = []
     for name in opened:
         if name in recent:
             recent.remove(name)
-        recent = recent + [name]
+        recent = [name] + recent
     return recent[:limit]
""",
        tests=(
            ([[], 3], []),
            ([["a"], 3], ["a"]),
            ([["a", "b", "c"], 2], ["c", "b"]),
            ([["a", "b", "a"], 5], ["a", "b"]),
            ([["x", "y", "y", "z"], 3], ["z", "y", "x"]),
        ),
    ),
    Entry(
        name="number_headings",
        defect_class="variable prepend",
        docstring="""Number the headings of a document, as in "2.1 Results".

Input: list of [title, list of sub-headings of the same form]; the prefix for all numbers.
Output: list of numbered titles, every heading before its sub-headings.""",
        program="""
 def number_headings(headings, prefix=''):
     lines = []
     for count, (title, below) in enumerate(headings, 1):
         number = prefix + str(count)
         lines.append(number + ' ' + title)
-        lines += number_headings(below, prefix + number + '.')
+        lines += number_headings(below, number + '.')
     return lines
""",
        tests=(
            ([[]], []),
            ([[["Intro", []], ["End", []]]], ["1 Intro", "2 End"]),
            ([[["A", [["B", []]]]]], ["1 A", "1.1 B"]),
            ([[["A", [["B", [["C", []]]]]]]], ["1 A", "1.1 B", "1.1.1 C"]),
            ([[["X", []]], "7."], ["7.1 X"]),
            ([[["P", [["Q", [["R", []], ["S", []]]]]]], "3."], ["3.1 P", "3.1.1 Q", "3.1.1.1 R", "3.1.1.2 S"]),
        ),
    ),
    Entry(
        name="born_in_month",
        defect_class="incorrect field dereference",
        docstring="""Who has a birthday in a given month?

Input: dictionary from name to date of birth (ISO); the month, 1 to 12.
Output: names in alphabetical order.""",
        program="""
 def born_in_month(birthdays, month):
     from datetime import date
     names = []
     for name, text in birthdays.items():
         born = date.fromisoformat(text)
-        if born.day == month:
+        if born.month == month:
             names.append(name)
     return sorted(names)
""",
        tests=(
            ([{}, 5], []),
            ([{"Ann": "1990-05-12"}, 5], ["Ann"]),
            ([{"Bo": "1985-11-05"}, 5], []),
            ([{"Cy": "2001-02-02", "Al": "1999-02-28"}, 2], ["Al", "Cy"]),
            ([{"Di": "1970-12-31"}, 12], ["Di"]),
        ),
    ),
    Entry(
        name="nights_booked",
        defect_class="incorrect field dereference",
        docstring="""Number of nights in a list of hotel stays.

Input: list of [arrival, departure], ISO dates.
Output: the sum of all nights.""",
        program="""
 def nights_booked(stays):
     from datetime import date
     nights = 0
     for arrival, departure in stays:
         stay = date.fromisoformat(departure) - date.fromisoformat(arrival)
-        nights += stay.seconds
+        nights += stay.days
     return nights
""",
        tests=(
            ([[]], 0),
            ([[["2024-03-01", "2024-03-02"]]], 1),
            ([[["2024-02-27", "2024-03-02"]]], 4),
            ([[["2023-12-30", "2024-01-02"], ["2024-05-01", "2024-05-08"]]], 10),
            ([[["2024-01-01", "2024-01-01"]]], 0),
        ),
    ),
    Entry(
        name="links_per_host",
        defect_class="incorrect field dereference",
        docstring="""Count the links to each host.

Input: list of URLs.
Output: dictionary from host name (lower case, without port) to the number of links.""",
        program="""
 def links_per_host(links):
     from urllib.parse import urlsplit
     counts = {}
     for link in links:
-        host = urlsplit(link).netloc
+        host = urlsplit(link).hostname
         counts[host] = counts.get(host, 0) + 1
     return counts
""",
        tests=(
            ([[]], {}),
            ([["https://example.org/a"]], {"example.org": 1}),
            ([["http://a.org:8080/", "http://a.org/x"]], {"a.org": 2}),
            ([["http://b.net/", "http://c.net/", "http://b.net/q"]], {"b.net": 2, "c.net": 1}),
            ([["ftp://Files.Example.com/pub"]], {"files.example.com": 1}),
        ),
    ),
)
