// Keeps the library non-empty until its first source lands.
namespace kayak::controllers_anchor {
int anchor = 0;
}
