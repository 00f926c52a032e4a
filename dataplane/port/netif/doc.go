// Package netif asks the kernel about network interfaces: what a port must know before it attaches to one, and what may change
// under it later. It only asks and holds no interface; the one thing that it changes is DetachXDP.
//
// Every answer is about the network namespace in which the Handle was opened, whatever thread asks. That is why it does not
// use package net, which asks in the namespace of the thread that happens to run.
package netif
