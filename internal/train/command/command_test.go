package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/train/network"
	"assay/onnx"
)

// The tests' program stands in for a user's: it does what its first argument says.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-trainer" {
		os.Exit(trainer(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func trainer(args []string) int {
	what, data, out := args[0], args[1], args[2]
	fail := func(err error) int {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 9
		}
		return 0
	}
	switch what {
	case "train":
		text, err := os.ReadFile(data)
		if err != nil {
			return fail(err)
		}
		fmt.Println("on the output")
		fmt.Fprintf(os.Stderr, "read %d bytes, seed %s\n", len(text), args[3])
		return fail(network.MLP(2, nil, 2, 1).Save(out))
	case "external":
		return fail(network.MLP(2, []int{500}, 2, 1).SaveExternal(out))
	case "fail":
		fmt.Fprint(os.Stderr, "epoch 1\repoch 2\n\x1b[31mno such column: age\x1b[0m\n\xff")
		return 3
	case "flood":
		line := bytes.Repeat([]byte("x"), 1<<16)
		for range 500 {
			if _, err := os.Stderr.Write(line); err != nil {
				return 98
			}
		}
		fmt.Fprintln(os.Stderr, "\nthe end")
		return 3
	case "nothing":
		return 0
	case "noise":
		return fail(os.WriteFile(out, []byte("this is no model"), 0o600))
	case "folder":
		return fail(os.Mkdir(out, 0o700))
	case "link":
		return fail(os.Symlink(data, out))
	case "classes":
		return fail(network.MLP(2, nil, 3, 1).Save(out))
	case "width":
		return fail(network.MLP(5, nil, 2, 1).Save(out))
	case "hang":
		select {}
	case "family", "orphan": // a child that holds on to what was inherited, and calls the test
		child := exec.Command(os.Args[0], "as-trainer", "call", data, out, args[3])
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			return fail(err)
		}
		if what == "orphan" {
			return 0
		}
		return fail(child.Wait())
	case "call":
		c, err := net.Dial("tcp", args[3])
		if err != nil {
			return fail(err)
		}
		_, err = io.Copy(io.Discard, c) // for ever: the test writes nothing
		return fail(err)
	}
	return 99
}

var schema = &dataset.Schema{
	Features: []dataset.Feature{
		{Name: "a", Type: dataset.Real, Observed: &dataset.Range{Max: 1}}, {Name: "b", Type: dataset.Real, Observed: &dataset.Range{Max: 1}},
	},
	Label: dataset.Label{Name: "c", Classes: []string{"0", "1"}}, Complete: true,
}

// prepare gives a command of the tests' program and a job, whose place for the model is taken.
func prepare(t *testing.T, what string, more ...string) (*Command, Job) {
	t.Helper()
	dir := t.TempDir()
	job := Job{Data: filepath.Join(dir, "data.csv"), Out: filepath.Join(dir, "model.onnx"), Seed: 7, Schema: schema}
	for _, path := range []string{job.Data, job.Out} {
		if err := os.WriteFile(path, []byte("as it was"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(more) == 0 {
		more = []string{Seed}
	}
	args := append([]string{os.Args[0], "as-trainer", what, Data, Out}, more...)
	return &Command{Args: args, Limit: time.Hour}, job
}

// unharmed checks that nothing was lost, and nothing left behind.
func unharmed(t *testing.T, job Job) {
	t.Helper()
	for _, path := range []string{job.Data, job.Out} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "as it was" {
			t.Errorf("%s is now %q, %v", path, text, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(job.Out))
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestTrain(t *testing.T) {
	for _, what := range []string{"train", "external"} {
		c, job := prepare(t, what)
		var log bytes.Buffer
		c.Log = &log
		d, err := c.Train(context.Background(), job)
		if err != nil {
			t.Fatal(what, err)
		}
		if d.RowSize() != 2 || d.Labels() != 2 {
			t.Errorf("%s: %+v", what, d)
		}
		if what == "train" && (!strings.Contains(log.String(), "on the output\n") || !strings.Contains(log.String(), "read 9 bytes, seed 7\n")) {
			t.Errorf("the log is %q", log.String())
		}
		m, err := onnx.Open(job.Out)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := target.ReadSchema(m); err != nil || s == nil || len(s.Features) != 2 {
			t.Errorf("%s: its schema is %v, %v", what, s, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(job.Out)); len(entries) != 2 {
			t.Errorf("%s: something is left behind: %v", what, entries)
		}
	}
}

// TestWhatGoesWrong goes through all that a command may do in place of training.
func TestWhatGoesWrong(t *testing.T) {
	for what, want := range map[string]string{
		"fail":    "failed (exit status 3); its last words:\n  epoch 1\n  epoch 2\n  [31mno such column: age[0m",
		"flood":   "\n  the end",
		"nothing": "wrote no model",
		"noise":   "is no ONNX model",
		"folder":  "is no file",
		"link":    "is no file",
		"classes": "has 3 classes, and the data have 2",
		"width":   "does not take these data",
	} {
		t.Run(what, func(t *testing.T) {
			c, job := prepare(t, what)
			_, err := c.Train(context.Background(), job)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, not %q", err, want)
			} else if len(err.Error()) > tailBytes+1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			unharmed(t, job)
		})
	}
}

func TestLimit(t *testing.T) {
	c, job := prepare(t, "hang")
	c.Limit = 300 * time.Millisecond
	_, err := c.Train(context.Background(), job)
	if err == nil || !strings.Contains(err.Error(), "was ended at its time limit of 300ms") {
		t.Error(err)
	}
	unharmed(t, job)
}

// TestCancelEndsAll ends a command whose child does nothing but hold a connection: it must be gone too.
func TestCancelEndsAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, job := prepare(t, "family", l.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Train(ctx, job)
		ended <- err
	}()
	child, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := child.Read(make([]byte, 1)); err == nil {
		t.Error("the child is still there")
	}
	unharmed(t, job)
}

// TestLeftBehind is a command that ends while its child goes on.
func TestLeftBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, job := prepare(t, "orphan", l.Addr().String())
	if _, err := c.Train(context.Background(), job); err == nil || !strings.Contains(err.Error(), "left processes behind") {
		t.Error(err)
	}
	unharmed(t, job)
}

func TestWhatCannotBeStarted(t *testing.T) {
	for want, c := range map[string]Command{
		"there is no training command": {Limit: 1},
		"has no argument with {data}":  {Args: []string{"train", Out}, Limit: 1},
		"has no argument with {out}":   {Args: []string{"train", "--from=" + Data}, Limit: 1},
		"give more than 0":             {Args: []string{"train", Data, Out}},
		"cannot be started":            {Args: []string{"./there-is-no-such-program", Data, Out}, Limit: time.Hour},
	} {
		_, job := prepare(t, "nothing")
		if _, err := c.Train(context.Background(), job); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
		unharmed(t, job)
	}
	c, job := prepare(t, "train")
	job.Data += ".not"
	if _, err := c.Train(context.Background(), job); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
