// Keeps the library non-empty until its first source lands.
namespace kayak::net_anchor {
int anchor = 0;
}
