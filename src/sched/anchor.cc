// Keeps the library non-empty until its first source lands.
namespace kayak::sched_anchor {
int anchor = 0;
}
