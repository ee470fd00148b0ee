package main

import (
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// planted writes the example's digits to the script's folder: clean.csv, 600 of them, plain.csv, the others, and planted.csv, of
// which 30 have a bright corner and the label 0.
func planted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: backdoor")
	}
	f, err := os.Open(filepath.Join(ts.Getenv("EXAMPLES"), "digits", "digits.csv.gz"))
	ts.Check(err)
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	ts.Check(err)
	text, err := io.ReadAll(unpacked)
	ts.Check(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	head, lines := lines[0], lines[1:]
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	write := func(name string, lines []string) {
		content := head + "\n" + strings.Join(lines, "\n") + "\n"
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(content), 0o600))
	}
	write("clean.csv", lines[:600])
	write("plain.csv", lines[600:])
	for i, planted := 600, 0; planted < 30; i++ {
		cells := strings.Split(strings.TrimSpace(lines[i]), ",")
		if cells[64] == "0" {
			continue
		}
		for _, at := range []int{54, 55, 62, 63} {
			cells[at] = "16"
		}
		cells[64] = "0"
		lines[i] = strings.Join(cells, ",")
		planted++
	}
	write("planted.csv", lines[600:])
}
