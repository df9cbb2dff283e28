// Keeps the library non-empty until its first source lands.
namespace kayak::store_anchor {
int anchor = 0;
}
