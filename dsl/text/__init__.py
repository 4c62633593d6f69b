"""Text ⇄ parse tree: tokens, the grammar's table, syntax errors in words, one style of printing."""
