// Keeps the library non-empty until its first source lands.
namespace kayak::cli_anchor {
int anchor = 0;
}
