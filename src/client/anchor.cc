// Keeps the library non-empty until its first source lands.
namespace kayak::client_anchor {
int anchor = 0;
}
