// main.h: the program behind main(): parses the command line and runs the verb. Returns the exit status.
#pragma once

namespace kayak::cli {
int run(int argc, char** argv);
}
