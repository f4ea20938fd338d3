"""Off by one, the wrong slice, missing arithmetic."""

from __future__ import annotations

from llm_bridge.corpora.minibugs_data import Entry

ENTRIES = (
    Entry(
        name="moving_average",
        defect_class="missing/added +1",
        docstring="""Moving average of a series.

Input: list of numbers; window size, at least 1.
Output: the mean of every stretch of that many neighbouring numbers, in order.""",
        program="""
 def moving_average(values, size):
     means = []
-    for start in range(len(values) - size):
+    for start in range(len(values) - size + 1):
         window = values[start:start + size]
         means.append(sum(window) / size)
     return means
""",
        tests=(
            ([[1, 2, 3], 1], [1.0, 2.0, 3.0]),
            ([[2, 4, 6, 8], 2], [3.0, 5.0, 7.0]),
            ([[3, 6, 9], 3], [6.0]),
            ([[1, 2], 3], []),
            ([[], 1], []),
        ),
    ),
    Entry(
        name="trip_lengths",
        defect_class="missing/added +1",
        docstring="""Length of each trip from odometer readings.

Input: readings before the first trip and after each trip.
Output: the kilometres driven on each trip.""",
        program="""
 def trip_lengths(readings):
     trips = []
     before = readings[0]
     for after in readings[1:]:
-        trips.append(after - before + 1)
+        trips.append(after - before)
         before = after
     return trips
""",
        tests=(
            ([[100]], []),
            ([[100, 130]], [30]),
            ([[0, 5, 5, 25]], [5, 0, 20]),
            ([[999, 1000]], [1]),
            ([[40, 70, 110]], [30, 40]),
        ),
    ),
    Entry(
        name="day_of_year",
        defect_class="missing/added +1",
        docstring="""Number of a day within its year; 1 January is day 1.

Input: month (1 to 12), day of the month, whether it is a leap year.""",
        program="""
 def day_of_year(month, day, leap):
     lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30]
     days = sum(lengths[:month - 1]) + day
-    if leap and month + 1 > 2:
+    if leap and month > 2:
         days += 1
     return days
""",
        tests=(
            ([1, 1, False], 1),
            ([2, 1, True], 32),
            ([2, 29, True], 60),
            ([3, 1, False], 60),
            ([3, 1, True], 61),
            ([12, 31, True], 366),
        ),
    ),
    Entry(
        name="column_totals",
        defect_class="incorrect array slice",
        docstring="""Total of every column in a table whose first row holds the columns' names.

Output: dictionary from name to the sum of the numbers below it.""",
        program="""
 def column_totals(table):
     names = table[0]
     totals = dict.fromkeys(names, 0)
-    for row in table[:1]:
+    for row in table[1:]:
         for name, number in zip(names, row):
             totals[name] += number
     return totals
""",
        tests=(
            ([[[]]], {}),
            ([[["a"]]], {"a": 0}),
            ([[["a", "b"], [1, 2]]], {"a": 1, "b": 2}),
            ([[["x", "y"], [1, 2], [10, 20]]], {"x": 11, "y": 22}),
            ([[["n"], [4], [5], [6]]], {"n": 15}),
        ),
    ),
    Entry(
        name="rotate_duty",
        defect_class="incorrect array slice",
        docstring="""Duty list after some weeks.

Each week the first person goes to the end of the list.
Input: list of names; number of weeks, not negative.""",
        program="""
 def rotate_duty(names, weeks):
     if not names:
         return []
     shift = weeks % len(names)
-    return names[-shift:] + names[:-shift]
+    return names[shift:] + names[:shift]
""",
        tests=(
            ([[], 4], []),
            ([["a", "b", "c"], 0], ["a", "b", "c"]),
            ([["a", "b", "c"], 1], ["b", "c", "a"]),
            ([["a", "b", "c", "d"], 6], ["c", "d", "a", "b"]),
            ([["x", "y", "z"], 5], ["z", "x", "y"]),
        ),
    ),
    Entry(
        name="heavier_side",
        defect_class="incorrect array slice",
        docstring="""Which half of a row of weights is heavier?

The left half is the shorter one if their number is odd.
Output: "left", "right" or "even".""",
        program="""
 def heavier_side(weights):
     middle = len(weights) // 2
     left = sum(weights[:middle])
-    right = sum(weights[middle + 1:])
+    right = sum(weights[middle:])
     if left == right:
         return 'even'
     return 'left' if left > right else 'right'
""",
        tests=(
            ([[]], "even"),
            ([[4, 4]], "even"),
            ([[5, 1, 1, 2]], "left"),
            ([[1, 2, 9, 1]], "right"),
            ([[3, 1, 2]], "even"),
            ([[6, 5]], "left"),
        ),
    ),
    Entry(
        name="invoice_total",
        defect_class="missing arithmetic expression",
        docstring="""Total of an invoice.

Input: list of [price of one, quantity]; discount on everything in percent.
Output: the total with the discount taken off, rounded to two digits.""",
        program="""
 def invoice_total(lines, discount):
     total = 0
     for price, quantity in lines:
-        total += price
+        total += price * quantity
     return round(total * (100 - discount) / 100, 2)
""",
        tests=(
            ([[], 10], 0.0),
            ([[[5, 1]], 0], 5.0),
            ([[[5, 3]], 0], 15.0),
            ([[[2.5, 4], [1, 10]], 50], 10.0),
            ([[[100, 2]], 5], 190.0),
        ),
    ),
    Entry(
        name="clock_angle",
        defect_class="missing arithmetic expression",
        docstring="""Smaller angle between the hands of a clock, in degrees.

Input: hour (0 to 23) and minute. The hour hand moves on steadily between the hours.""",
        program="""
 def clock_angle(hour, minute):
     minute_hand = minute * 6
-    hour_hand = hour % 12 * 30
+    hour_hand = hour % 12 * 30 + minute / 2
     angle = abs(hour_hand - minute_hand)
     return min(angle, 360 - angle)
""",
        tests=(
            ([3, 0], 90.0),
            ([12, 0], 0.0),
            ([6, 30], 15.0),
            ([9, 45], 22.5),
            ([21, 0], 90.0),
            ([1, 20], 80.0),
        ),
    ),
    Entry(
        name="counting_out",
        defect_class="missing arithmetic expression",
        docstring="""Who is left over when children count out in a circle?

Input: list of names; the number counted to. Whoever it falls on leaves, and counting goes on with the next one.
Output: the last name.""",
        program="""
 def counting_out(names, number):
     circle = list(names)
     place = 0
     while len(circle) > 1:
-        place = place + number - 1
+        place = (place + number - 1) % len(circle)
         circle.pop(place)
     return circle[0]
""",
        tests=(
            ([["ann"], 3], "ann"),
            ([["ann", "bob"], 1], "bob"),
            ([["ann", "bob"], 2], "ann"),
            ([["a", "b", "c", "d", "e"], 2], "c"),
            ([["a", "b", "c", "d"], 3], "a"),
        ),
    ),
)
