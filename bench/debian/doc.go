// Package debian tests the Debian packages. It has tests only: some of the package and its unit as they lie there, and, where `make test-deb`
// has built two versions and a system to install them on, one that boots this system as a container and installs, starts, breaks,
// upgrades, stops and purges what a machine would, with traffic through it.
package debian
