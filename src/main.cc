// main.cc: the program's entry; everything is in src/cli.
int main() { return 0; }
