// Package command trains a model by a program of the user's, in whatever language and framework: one that
// reads data from a path and writes an ONNX file. The program is started as it is, without a shell, and its
// model is taken only after it was opened, run and found to have the classes of the data.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
)

// What stands in a command for what changes from one training to the next.
const (
	Data = "{data}" // the absolute path of the data; needed
	Out  = "{out}"  // the absolute path of the ONNX file to write, in an empty folder; needed
	Seed = "{seed}" // the seed, 0 or more, in decimal
)

// MaxBytes is how large the model file may be: ONNX files are Protocol Buffers, which end at 2 GB.
const MaxBytes = 2 << 30

// drained is how long what the command wrote is waited for, once it has ended and others hold its output open.
const drained = 2 * time.Second

// Command is a program that trains a model.
type Command struct {
	Args  []string      // the program and its arguments, in which placeholders may stand anywhere
	Dir   string        // the folder to start it in; empty for the present one
	Limit time.Duration // how long it may take; above 0
	Log   io.Writer     // gets what it prints, on both streams, as it comes; nil for nobody
}

// Job is one training.
type Job struct {
	Data   string // a file or a folder, which the command reads
	Out    string // the ONNX file to write, whole or not at all
	Seed   uint64
	Schema *dataset.Schema // what the model must take and give: the records' shape and the classes

	Library string // the ONNX Runtime library; see ort.Load
}

// Validate reports what cannot be started.
func (c *Command) Validate() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return fmt.Errorf("there is no training command: give a program with its arguments, such as python train.py %s %s", Data, Out)
	}
	for _, need := range []struct{ placeholder, purpose string }{{Data, "the path of the data"}, {Out, "the path of the model to write"}} {
		if !slices.ContainsFunc(c.Args[1:], func(a string) bool { return strings.Contains(a, need.placeholder) }) {
			return fmt.Errorf("the training command %s has no argument with %s, where %s goes", c, need.placeholder, need.purpose)
		}
	}
	if c.Limit <= 0 {
		return fmt.Errorf("a time limit of %s for the training command: give more than 0", c.Limit)
	}
	return nil
}

func (c *Command) String() string { return strings.Join(c.Args, " ") }

// Train runs the command and gives what its model takes and gives. The model is written in a new folder beside
// Job.Out and takes the place of Job.Out only once it is known to be right; of anything else that happens, what was at Job.Out stays.
// The command and all that it starts are one process group. It is ended with the context, at the limit, and when
// the command itself ends.
//
// The schema is noted in the model's metadata, for those who use it.
func (c *Command) Train(ctx context.Context, job Job) (*model.Description, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(job.Data); err != nil {
		return nil, fmt.Errorf("the data to train on: %w", err)
	}
	out, err := filepath.Abs(job.Out)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return nil, fmt.Errorf("the folder for the model: %w", err)
	}
	defer os.RemoveAll(folder)
	written := filepath.Join(folder, filepath.Base(out))
	last, err := c.run(ctx, job, written)
	if err != nil {
		return nil, err
	}
	m, d, err := check(ctx, written, job)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the training command %s ended well, but %w%s", c, err, last)
	}
	if err := target.WriteSchema(m, job.Schema); err != nil {
		return nil, err
	}
	return d, m.Save(out)
}

// run runs the command until it ends. It gives its last words.
func (c *Command) run(ctx context.Context, job Job, out string) (*tail, error) {
	data, err := filepath.Abs(job.Data)
	if err != nil {
		return nil, err
	}
	fill := strings.NewReplacer(Data, data, Out, out, Seed, strconv.FormatUint(job.Seed, 10))
	args := make([]string, 0, len(c.Args))
	for i, a := range c.Args {
		if i > 0 {
			a = fill.Replace(a)
		}
		args = append(args, a)
	}
	limited, stop := context.WithTimeout(ctx, c.Limit)
	defer stop()
	last := &tail{to: c.Log}
	p := exec.CommandContext(limited, args[0], args[1:]...)
	p.Dir, p.Stderr, p.WaitDelay = c.Dir, last, drained
	if c.Log != nil {
		p.Stdout = logOnly{last}
	}
	group(p)
	err = p.Run()
	endGroup(p)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, fmt.Errorf("the training command %s was ended at its time limit of %s; give it more if it does not hang%s", c, c.Limit, last)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("the training command %s ended and left processes behind that still write; let it wait for them%s", c, last)
	case err != nil && p.ProcessState == nil:
		return nil, fmt.Errorf("the training command %s cannot be started: %w", c, err)
	case err != nil:
		return nil, fmt.Errorf("the training command %s failed (%w)%s", c, err, last)
	}
	return last, nil
}

// check opens and runs the model that a command wrote. Errors go on from "the command ended well, but".
func check(ctx context.Context, path string, job Job) (*onnx.Model, *model.Description, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("wrote no model to the path that stands for %s", Out)
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("what it wrote to the path that stands for %s is no file", Out)
	case info.Size() > MaxBytes:
		return nil, nil, fmt.Errorf("wrote %d bytes, and an ONNX file has at most %d", info.Size(), MaxBytes)
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("what it wrote is no ONNX model: %w", err)
	}
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Library: job.Library}})
	if err != nil {
		return nil, nil, fmt.Errorf("its model cannot be used: %w", err)
	}
	defer c.Close()
	d := c.Describe()
	return m, &d, target.Fits(job.Schema, d)
}
