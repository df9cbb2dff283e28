#!/usr/bin/env python3
"""lint_coroutines.py: finds statements with co_await that GCC 12 miscompiles (docs/decisions.md).

A temporary of such a statement that the compiler has to spill into the coroutine's frame is destroyed twice when it is
 - a braced one, `f(Type{a, b})`, `f({a, b})`, or a variable `Type x{co_await f()}` whose initializer awaits;
 - the value of a conditional, `f(a ? b : c)`, or a conditional of which a branch awaits;
 - a lambda that owns a capture, `f([text] { ... })`; one that captures references, `this` or nothing is fine;
 - an aggregate as the default argument, `= {}`, of any function that is called there, awaited or not.
This reads C++ by tokens, not by types: an integer in braces is reported, too. Name the value on a line before.
A conditional between literals alone is let through: there is nothing to destroy.

usage: lint_coroutines.py FILE...      (exit 1 when something is found)
       lint_coroutines.py --self-test
"""
import os
import re
import sys

TOKEN = re.compile(r"""
    (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\((?:.|\n)*?\)(?P=delimiter)")
  | (?P<comment>//[^\n]*|/\*(?:.|\n)*?\*/)
  | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\(?:.|\n))*)
  | (?P<string>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
  | (?P<number>\.?[0-9](?:[eEpP][+-]|'(?=[0-9a-fA-F])|[\w.])*)
  | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark>::|->\*?|&&|\|\||\+\+|--|<=>|[<>=!+\-*/%&|^]=|\.\.\.|[^\s\w])
""", re.VERBOSE | re.MULTILINE)

CLOSER = {"(": ")", "[": "]", "{": "}"}
HEADS = {"if", "while", "for", "switch", "catch"}
SCOPES = {"namespace", "struct", "class", "union", "enum"}
BODY_AFTER = {"const", "noexcept", "override", "final", "mutable", "constexpr", "else", "do", "try"}
LITERALS = {"true", "false", "nullptr"}


class Token:
    __slots__ = ("kind", "text", "line")

    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line

    def is_name(self):
        return self.kind == "word" and self.text not in ("return", "co_return", "co_await", "co_yield", "case", "else")


def tokens_of(source):
    """Tokens without comments and directives; strings keep their kind but lose their text."""
    tokens, line, place = [], 1, 0
    for match in TOKEN.finditer(source):
        line += source.count("\n", place, match.start())
        place = match.start()
        kind = match.lastgroup if match.lastgroup != "delimiter" else "raw"
        if kind in ("comment", "directive"):
            continue
        text = '""' if kind in ("raw", "string", "char") else match.group()
        tokens.append(Token("string" if text == '""' else kind, text, line))
    return tokens


def matching(tokens):
    """For each bracket's index the index of its partner; what has none points at the end."""
    partner, open_ones = {}, []
    for i, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.text in CLOSER:
            open_ones.append(i)
        elif token.text in (")", "]", "}") and open_ones and CLOSER[tokens[open_ones[-1]].text] == token.text:
            partner[i] = open_ones.pop()
            partner[partner[i]] = i
    for i in open_ones:
        partner[i] = len(tokens)
    return partner


class Checker:
    def __init__(self, source, with_defaults=frozenset()):
        self.with_defaults = with_defaults  # functions that have a braced default argument
        self.tokens = tokens_of(source)
        self.partner = matching(self.tokens)
        self.end = len(self.tokens)
        self.tokens += [Token("end", "", 0)] * 8  # so that looking ahead needs no bounds
        self.findings = []

    def run(self):
        self.block(0, self.end)
        return sorted(set(self.findings))

    def text(self, i):
        return self.tokens[i].text if i >= 0 else ""

    def report(self, i, what):
        self.findings.append((self.tokens[i].line, what))

    # Statements.

    def block(self, i, end):
        while i < end:
            i = self.statement(i, end)

    def statement(self, i, end):
        """Checks the statement that begins at i; returns where the next one begins."""
        text = self.text(i)
        if text in (";", "}", "else", "do", "try"):
            return i + 1
        if text == "{":
            self.block(i + 1, self.partner[i])
            return self.partner[i] + 1
        if text in HEADS:
            return self.head(i, end)
        if text in ("case", "default", "public", "private", "protected"):
            while i < end and self.text(i) not in (":", ";"):
                i += 1
            return i + 1
        return self.simple(i, end)

    def head(self, i, end):
        """if (...), for (...) and so on: each part between semicolons is an expression of its own."""
        while i < end and self.text(i) != "(":
            i += 1
        close = min(self.partner.get(i, end), end)
        start = j = i + 1
        while j < close:
            if self.text(j) == ";":
                self.expression(start, j)
                start = j + 1
            j = self.past(j, close)
        self.expression(start, close)
        return close + 1

    def simple(self, start, end):
        i = start
        while i < end:
            text = self.text(i)
            if text in (";", "}"):
                break
            if text == "{" and self.opens_body(i, start):
                self.block(i + 1, self.partner[i])
                return self.partner[i] + 1
            i = self.past(i, end)
        self.expression(start, i)
        return i + 1

    def past(self, i, end):
        """The token after i, with brackets and lambdas taken as one; lambda bodies are checked on the way."""
        if self.text(i) == "[" and self.is_lambda(i):
            body = self.lambda_body(i, end)
            if body is not None:
                self.block(body + 1, self.partner[body])
                return self.partner[body] + 1
        if self.text(i) in CLOSER:
            close = min(self.partner[i], end)
            j = i + 1
            while j < close:
                j = self.past(j, close)
            return close + 1
        return i + 1

    def opens_body(self, i, start):
        """Is the brace at i a function's, a class's or a namespace's, and not an initializer?"""
        before = self.text(i - 1)
        if before in (")", "}", "]") or before in BODY_AFTER:
            return True
        depth, j = 0, start
        while j < i:  # struct, namespace and the like outside of brackets
            if self.text(j) in ("(", "["):
                j = self.partner[j]
            elif self.text(j) == "<":
                depth += 1
            elif self.text(j) == ">":
                depth -= 1
            elif depth == 0 and self.text(j) in SCOPES:
                return True
            elif depth == 0 and self.text(j) == "=":
                return False
            j += 1
        if before == '""' and self.text(start) == "extern":
            return True
        type_start = self.type_start(i)
        return type_start < i and self.text(type_start - 1) == "->" and self.text(type_start - 2) in (
            {")"} | BODY_AFTER)

    def type_start(self, i):
        """Where the type that ends before i begins: names, ::, template arguments, * and &."""
        j = i
        while j > 0:
            token = self.tokens[j - 1]
            if token.text in (">", ">>"):
                depth = 0
                while j > 0:
                    j -= 1
                    depth += {">": 1, "<": -1}.get(self.text(j), 0)
                    if depth == 0:
                        break
            elif token.is_name() or token.text in ("::", "*", "&"):
                j -= 1
            else:
                break
        return j

    # Lambdas.

    def is_lambda(self, i):
        before = self.tokens[i - 1] if i > 0 else None
        if self.text(i + 1) == "[" or self.text(i - 1) == "[":
            return False  # an attribute
        if before is None or before.text in ("return", "co_return", "co_await"):
            return True
        return not (before.kind in ("word", "string") or before.text in (")", "]", "}", ">", "&", "&&"))

    def lambda_body(self, i, end):
        j = self.partner[i] + 1
        if self.text(j) == "(":
            j = self.partner[j] + 1
        while j < end and self.text(j) != "{":
            if self.text(j) in (";", ")", ",", "}"):
                return None
            j += 1
        return j if j < end else None

    def owns_captures(self, i):
        j, close = i + 1, self.partner[i]
        while j < close:
            if self.text(j) == "&":
                j += 1
                if self.text(j) not in (",", "]"):
                    j += 1
                    while j < close and self.text(j) != ",":
                        j = self.partner[j] + 1 if self.text(j) in CLOSER else j + 1
            elif self.text(j) == "this":
                j += 1
            else:
                return True
            if self.text(j) == ",":
                j += 1
        return False

    # Expressions.

    def expression(self, start, end):
        """A full expression: reports what must not stand beside its co_await."""
        suspects, awaits, i = [], False, start
        while i < end:
            text = self.text(i)
            if text in ("co_await", "co_yield"):
                awaits = True
            elif text == "[" and self.is_lambda(i):
                body = self.lambda_body(i, end)
                if body is not None:
                    if self.owns_captures(i):
                        suspects.append((i, "a lambda that owns a capture"))
                    i = self.partner[body] + 1
                    continue
            elif text == "{" and not self.opens_only_type(i):
                if not self.is_variable(i, start) or self.awaits_within(i):
                    suspects.append((i, "a braced temporary"))
            elif text == "?" and not self.between_literals(i):
                suspects.append((i, "a conditional"))
            elif text in self.with_defaults and self.text(i + 1) == "(":
                suspects.append((i, f"a braced default argument of {text}"))
            i += 1
        if awaits:
            for i, what in suspects:
                self.report(i, what + " in a statement with co_await")

    def opens_only_type(self, i):
        return self.text(i - 1) in SCOPES

    def is_variable(self, i, start):
        """`Type name{`: two names in a row before the brace, at the beginning of the statement."""
        if not self.tokens[i - 1].is_name() or i - 2 < start:
            return False
        before = self.tokens[i - 2]
        return before.is_name() or before.text in (">", "&", "*", "&&")

    def awaits_within(self, i):
        return any(t.text == "co_await" for t in self.tokens[i:self.partner[i]])

    def between_literals(self, i):
        def literal(j):
            return self.tokens[j].kind in ("number", "string") or self.text(j) in LITERALS

        return (self.text(i + 2) == ":" and literal(i + 1) and literal(i + 3)
                and self.text(i + 4) in (",", ")", ";", "}"))

    def default_arguments(self):
        """Names of the functions with a `Type name = {}` between their parentheses, of types that are not HARMLESS."""
        names, around = set(), []
        for i, token in enumerate(self.tokens[:self.end]):
            if token.kind == "mark" and token.text in CLOSER:
                around.append(i)
            elif token.text in (")", "]", "}") and around:
                around.pop()
            elif (token.text == "=" and around and self.text(around[-1]) == "(" and i >= 2
                  and self.tokens[i - 1].is_name()):
                brace = i + 1
                while self.tokens[brace].is_name() or self.text(brace) == "::":
                    brace += 1
                closed = self.text(self.partner[brace] + 1) in (",", ")") if self.text(brace) == "{" else False
                typed = self.tokens[i - 2].is_name() or self.text(i - 2) in ("&", "*", ">")
                if closed and typed and self.type_name(i - 1) not in HARMLESS:
                    names.add(self.text(around[-1] - 1))
        return names

    def type_name(self, i):
        """The last word of the type before the parameter's name at i, without its template arguments."""
        i -= 1
        while self.text(i) in ("&", "*", "&&", "const"):
            i -= 1
        if self.text(i) == ">":
            depth = 1
            while depth > 0 and i > 0:
                i -= 1
                depth += {">": 1, "<": -1}.get(self.text(i), 0)
            i -= 1
        return self.text(i)


# Types whose `= {}` may be a default argument: they have constructors, or nothing to destroy.
HARMLESS = {"StopToken", "string", "string_view", "vector", "map", "optional", "span", "function",
            "initializer_list", "Labels", "LogFields", "ReadLimits", "ReadOptions"}


def check(source, with_defaults=None):
    """The findings as (line, what); `with_defaults` of all files, without it of this one."""
    if with_defaults is None:
        with_defaults = Checker(source).default_arguments()
    return Checker(source, with_defaults).run()


GOOD = [
    "auto r = co_await f(Named(1), make(), text);",
    "Options o{1, 2}; auto r = co_await f(o);",
    "if (auto r = co_await f(); !r) co_return Error{1};",
    "if (a ? b : c) co_await f();",
    "for (const Row& row : {Row{1}, Row{2}}) co_await f(row);",
    "co_await f([&] { return Type{1}; });",
    "co_await f([this, &x = y](int a) -> Type { return a ? b : c; }, d);",
    "co_await f([] { return a ? b : c; });",
    "Task<int> g() { co_await f(); } struct S { int a{3}; };",
    'co_await f("a ? {b} : c", \'{\'); // {x}',
    "co_await f(R\"(a ? {b} : \"c)\"); /* Type{1} */",
    "#define F(x) co_await f(Type{x}) \\\n  + Type{}\nint a;",
    "const auto v = a ? b : c;\nco_await f(v);",
    "co_await f(yes ? 1 : 2, no ? true : false);",
    "Task<void> f(StopToken stop = {}, const std::vector<Type>& list = {}); Task<void> g() { co_await f(); }",
    "int f(Options options = {}); int a = f(); int b = co_await g();",
    "for (Type x = {}; x; x = {}) g();",
    "if (Type x = {1}; x) g(x);",
    "switch (x) { case A: co_await f(); break; default: y = a ? b : c; }",
    "auto f() -> Task<int> { co_await g(); }",
    "auto [a, b] = co_await f(c[1], d[2]);",
    "S(int a) : a_(a), b_{a} { co_await f(); }",
    "enum class E : int { kA = 1 }; namespace n { Task<int> f() { co_await g(); } }",
    "do { co_await f(); } while (a ? b : c);",
    "const int n = 1'000'000; co_await f(n);",
]
BAD = [
    ("co_await f(Type{1});", 1),
    ("co_await f({a, b});", 1),
    ("auto r =\n    co_await f(a,\n               Type<int>{1});", 3),
    ("if (auto r = co_await f(Type{}); !r) return;", 1),
    ("if (!co_await f({})) return;", 1),
    ("while (co_await f(a ? b : c)) g();", 1),
    ("for (auto& x : co_await f(Type{1})) g();", 1),
    ("for (int i = 0; co_await f(Type{i}); ++i) g();", 1),
    ("co_return co_await f(a ? std::move(b) : c);", 1),
    ("co_return Type{co_await f(), 1};", 1),
    ("Type x{co_await f(), 1};", 1),
    ("Type x = {co_await f(), 1};", 1),
    ("const Type x = a ? co_await f() : Type(1);", 1),
    ("co_await f([text] { return text; });", 1),
    ("co_await f([&, n = std::move(m)] { g(n); });", 1),
    ("co_await f([=] { g(n); });", 1),
    ("if (a) co_await f(Type{1}); else g();", 1),
    ("auto l = [&]() -> Task<int> {\n  co_await f(Type{1});\n};", 2),
    ("h([] {\n co_await f(a ? b : c); });", 2),
    ("Task<int> g() { co_await f(); }\nTask<int> h() const override {\n  co_await f(Type{1}); }", 3),
    ("switch (x) { case A: co_await f(Type{1}); }", 1),
    ("Task<int> f(Options options = {});\nTask<int> g() { co_await f(); }", 2),
    ("int f(int a,\n      const Options& options = Options{1}) {}\nTask<int> g() { co_await h(f(1)); }", 3),
    ("int f(const n::Options<int>& options = {}, int a = 0);\nint a = co_await h() + f();", 2),
    ("co_await f(a == 1 ? 1 : b);", 1),
]


def self_test():
    failed = 0
    for source in GOOD:
        found = check(source)
        if found:
            failed += 1
            print(f"lint_coroutines: reports {found} in: {source}")
    for source, line in BAD:
        found = check(source)
        if [at for at, _ in found] != [line]:
            failed += 1
            print(f"lint_coroutines: reports {found}, not line {line}, in: {source}")
    return 1 if failed else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    sources, found = {}, 0
    for path in arguments:
        with open(path, encoding="utf-8") as file:
            sources[path] = file.read()
    # Names are not resolved: a header of src/ counts for every file, what else declares one for its own folder.
    everywhere, folders = set(), {}
    for path, source in sources.items():
        names = Checker(source).default_arguments()
        is_header = path.startswith("src/") and path.endswith(".h")
        (everywhere if is_header else folders.setdefault(os.path.dirname(path), set())).update(names)
    for path, source in sources.items():
        for line, what in check(source, everywhere | folders.get(os.path.dirname(path), set())):
            found += 1
            print(f"{path}:{line}: {what}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
