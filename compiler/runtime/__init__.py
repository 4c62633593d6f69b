"""What generated files hold copies of: the code that steps any rule. It may not import optc."""
