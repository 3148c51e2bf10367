"""cvc5's command line as far as policy proofs need it: SMT-LIB commands on standard input, answers on standard output.

Each command is answered before the next is read. Takes --tlimit=MILLISECONDS for one check; other options are ignored.
"""
import sys

import cvc5


def commands(lines):
    """Whole commands: lines until all parentheses outside strings, quoted symbols and comments are closed."""
    text, depth, quote = "", 0, None
    for line in lines:
        for index, c in enumerate(line):
            if quote:
                quote = None if c == quote else quote
            elif c == ";":
                line = line[:index] + "\n"
                break
            elif c in '"|':
                quote = c
            elif c in "()":
                depth += 1 if c == "(" else -1
        text += line
        if depth == 0 and quote is None and text.strip():
            yield text
            text = ""


def main():
    limit = next((word.split("=", 1)[1] for word in sys.argv if word.startswith("--tlimit=")), None)
    manager = cvc5.TermManager()

    def fresh():
        solver = cvc5.Solver(manager)
        if limit:
            solver.setOption("tlimit-per", limit)
        return solver, cvc5.InputParser(solver)

    solver, parser = fresh()
    for text in commands(iter(sys.stdin.readline, "")):
        if text.strip() == "(reset)":
            solver, parser = fresh()
            continue
        if text.strip() == "(exit)":
            return
        try:
            parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "portunus")
            command = parser.nextCommand()
            while not command.isNull():
                sys.stdout.write(command.invoke(solver, parser.getSymbolManager()))
                command = parser.nextCommand()
        except Exception as error:  # cvc5 raises RuntimeError of several kinds
            said = str(error).replace('"', "'").replace("\n", " ")
            sys.stdout.write(f'(error "{said}")\n')
        sys.stdout.flush()


if __name__ == "__main__":
    main()
