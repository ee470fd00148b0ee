//go:build unix

package command

import (
	"os/exec"
	"syscall"
)

// group makes a command, with all that it starts, a process group of its own, which ends as one.
func group(p *exec.Cmd) {
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Cancel = func() error { return syscall.Kill(-p.Process.Pid, syscall.SIGKILL) }
}

// endGroup ends what a command left behind.
func endGroup(p *exec.Cmd) {
	if p.Process != nil {
		_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // that nobody is left is the usual case
	}
}
