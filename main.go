// Command gwdr proves that an API gateway comes back.
package main

import (
	"os"

	"gwdr/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
