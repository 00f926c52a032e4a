// Linecrypt-ctrlplane is the control plane of a gateway. `linecrypt run` starts it; by hand it takes the same flags.
package main

import (
	"os"

	"linecrypt/ctrlplane/server"
)

func main() {
	os.Exit(server.Execute(os.Args[1:], os.Stderr))
}
