"""Monte-Carlo simulation of links: points, engines, counts, stopping rules, results files."""
