package main

import (
	"compress/gzip"
	"encoding/csv"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// members parts the example's digits into members.csv and three records in few.csv, to train on, and others.csv: members DATA. One class
// in four is drawn at random, so that it can be learnt by heart alone. In later.csv are the others as from another scanner: a corner is grey.
func members(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: members DATA")
	}
	f, err := os.Open(args[0])
	ts.Check(err)
	defer f.Close()
	text, err := gzip.NewReader(f)
	ts.Check(err)
	rows, err := csv.NewReader(text).ReadAll()
	ts.Check(err)
	head, records := rows[0], rows[1:]
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for _, r := range records {
		if rng.IntN(4) == 0 {
			r[len(r)-1] = strconv.Itoa(rng.IntN(10))
		}
	}
	write := func(name string, records [][]string) {
		out, err := os.Create(ts.MkAbs(name))
		ts.Check(err)
		w := csv.NewWriter(out)
		ts.Check(w.WriteAll(append([][]string{head}, records...)))
		ts.Check(out.Close())
	}
	write("members.csv", records[:585])
	write("few.csv", records[585:588])
	write("others.csv", records[588:])
	for _, r := range records[588:] {
		r[0] = "8"
	}
	write("later.csv", records[588:])
}
