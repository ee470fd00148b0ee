//go:build !unix

package command

import "os/exec"

// group leaves a command as it is: here only the process itself can be ended.
func group(*exec.Cmd) {}

func endGroup(*exec.Cmd) {}
