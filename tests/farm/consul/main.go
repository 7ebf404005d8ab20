// Consul as a program of its own module: its packages are public, but the module itself cannot be
// `go install`ed, because its go.mod replaces others by folders.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/hashicorp/consul/command"
	commands "github.com/hashicorp/consul/command/cli"
	"github.com/mitchellh/cli"
)

func main() {
	log.SetOutput(io.Discard)
	ui := &commands.BasicUI{BasicUi: cli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}}
	program := cli.NewCLI("consul", "")
	program.Args = os.Args[1:]
	program.Commands = command.RegisteredCommands(ui)
	code, err := program.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
