package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/model/remote/remotetest"
	"assay/internal/signing"
	"assay/internal/trees/treestest"
)

func TestMain(m *testing.M) {
	remotetest.MainIfStarted()
	testscript.Main(m, map[string]func(){"assay": main})
}

// TestScripts runs the program as users do.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", filepath.Join(root, "examples"))
			e.Setenv("KEYS", keys)
			e.Setenv(ort.LibraryVariable, library(root))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "forest": forest, "reviews": reviews, "backdoor": planted, "members": members},
	})
}

// forest trains a small random forest on records and writes it as skl2onnx does: forest DATA FILE.
func forest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: forest DATA FILE")
	}
	d, err := dataset.Load(context.Background(), args[0], dataset.Options{Label: "diagnosis"})
	ts.Check(err)
	table := treestest.Table{}
	for i := range d.Len() {
		table.Rows, table.Labels = append(table.Rows, d.Record(i)), append(table.Labels, int(d.Y[i]))
	}
	data, err := treestest.Forest(table, len(d.Schema.Label.Classes), 10, 4, 1).Model().Encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// newKeys makes a folder with two keys, each with its public half.
func newKeys(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"release", "stranger"} {
		key, _, err := signing.OpenKey(filepath.Join(folder, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".pub.pem"), key.Public().PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// library is where the scripts, which run in folders of their own, find ONNX Runtime.
func library(root string) string {
	if path := os.Getenv(ort.LibraryVariable); path != "" {
		return path
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	found, _ := filepath.Glob(filepath.Join(root, "node_modules/onnxruntime-node/bin/napi-v6", runtime.GOOS, arch, "libonnxruntime.*"))
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// exits runs the program and wants an exit code: exits 3 assay train.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		code = strconv.Itoa(failed.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}
