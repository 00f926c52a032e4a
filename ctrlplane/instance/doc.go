// Package instance says where an instance of the gateway keeps its things, and makes sure that there is one of each.
//
// Instances are told apart by name. Each has a folder below a base folder (see Bases) with its control socket, its
// session-ID table, its lock files and a link to its shared memory segment; all of it belongs to the user that runs the
// gateway and is closed to others, except for what ShareWith opens to a group. Next to the folders lie the claims of
// cores, by which the instances of one machine keep out of each other's way.
//
// The locks are the kernel's: they end with the process that holds them, however it ends, so nothing stale can keep an
// instance from starting. The package makes and removes files; it does not look into them.
package instance
