// main.cc: the program's entry; everything is in src/cli.
#include "cli/main.h"

int main(int argc, char** argv) { return kayak::cli::run(argc, argv); }
