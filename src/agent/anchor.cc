// Keeps the library non-empty until its first source lands.
namespace kayak::agent_anchor {
int anchor = 0;
}
