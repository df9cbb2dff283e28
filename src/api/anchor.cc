// Keeps the library non-empty until its first source lands.
namespace kayak::api_anchor {
int anchor = 0;
}
