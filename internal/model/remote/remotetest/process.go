package remotetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/internal/model/ort"
)

// The environment by which a process learns that it is a server, and its secret.
const (
	variable       = "ASSAY_REMOTETEST"
	secretVariable = "ASSAY_REMOTETEST_SECRET"
)

// Main is the whole of a server process: it serves the ONNX models named in the
// arguments, as name=file, writes its Addresses as a line of JSON to the standard output,
// and ends with its standard input, so with whoever started it. It gives the exit code.
func Main() int {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(args []string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	models := map[string]model.Classifier{}
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is no model: write name=file.onnx", arg)
		}
		m, err := ort.OpenClassifier(ctx, file, ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
		if err != nil {
			return err
		}
		defer m.Close()
		models[name] = m
	}
	return NewServer(models, os.Getenv(secretVariable)).Serve(ctx, func(a Addresses) {
		_ = json.NewEncoder(os.Stdout).Encode(a) // no one listens if it fails, and standard input ends
	})
}

// MainIfStarted ends a test's process as a server where Start made it for that. TestMain
// calls it first.
func MainIfStarted() {
	if os.Getenv(variable) != "" {
		os.Exit(Main())
	}
}

// Process is a server in a process of its own.
type Process struct {
	Addresses
	t testing.TB
}

// Start starts the test's own program again as a server of models in files, until the
// test ends.
func Start(t testing.TB, models map[string]string, secret string) *Process {
	t.Helper()
	var args []string
	for name, file := range models {
		args = append(args, name+"="+file)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), variable+"=1", secretVariable+"="+secret)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	p := &Process{t: t}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	if err := json.Unmarshal(line, &p.Addresses); err != nil {
		t.Fatal(err)
	}
	return p
}

// SetFaults makes the next requests fail.
func (p *Process) SetFaults(f Faults) {
	p.t.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.Post(p.HTTP+"/faults", "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		p.t.Fatal(res.Status)
	}
}

// Seen asks what the server has seen.
func (p *Process) Seen() Seen {
	p.t.Helper()
	res, err := http.Get(p.HTTP + "/seen")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var s Seen
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}
