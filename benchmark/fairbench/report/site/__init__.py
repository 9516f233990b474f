"""The leaderboard as HTML that works offline: tables by jinja2, pictures drawn in the browser from the tables."""
