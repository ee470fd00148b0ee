package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
	"assay/internal/scan/formats"
)

// pickled is how large the streams are that scans are measured on.
const pickled = 32 << 20

// pickles are streams of what large pickles are made of.
var pickles = map[string]func(p *corpus.Stream, i int){
	"numbers": func(p *corpus.Stream, i int) {
		p.Op('G').Op(binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(i)))...)
	},
	"small-integers": func(p *corpus.Stream, i int) { p.Int(i % 256) },
	"records": func(p *corpus.Stream, i int) {
		p.Op('}', '(').Text("identifier").Int(i).Text("description").Text(fmt.Sprintf("the record with number %d", i)).Text("score").Float(float64(i)).Op('u')
	},
	"arrays": func(p *corpus.Stream, _ int) { p.Array("numpy.core", 1000) },
}

// scanPickle is the time to hash a stream over that to scan it, on one processor: SHA-256
// is what a registry computes of every file anyway. The limit stands for 150 MB/s beside a
// SHA-256 of 1500 MB/s, as processors with instructions for it have.
func scanPickle(kind string) benchmark {
	name := "hash-over-scan-pickle/" + kind
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		data := stream(pickles[kind])
		runner := scan.Runner{Scanners: formats.All()}
		scanned := func() error {
			r, err := runner.Content(ctx, "stream", bytes.NewReader(data), int64(len(data)))
			if err == nil && r.Status != scan.Clean {
				err = fmt.Errorf("the stream is %s: %v", r.Status, r.Findings)
			}
			return err
		}
		start := time.Now()
		if err := scanned(); err != nil {
			return nil, err
		}
		fmt.Printf("scan-pickle-mb-per-s/%s is %.0f\n", kind, float64(len(data))/1e6/time.Since(start).Seconds())
		h, s, err := inTurn(func() error { sha256.Sum256(data); return nil }, scanned)
		if err != nil {
			return nil, err
		}
		return []figure{{name, h.Seconds() / s.Seconds(), "min", 0.1}}, nil
	}}
}

// stream is a list of elements, in batches as Python's pickler writes them.
func stream(element func(p *corpus.Stream, i int)) []byte {
	p := corpus.NewStream(4)
	p.Op(']')
	for i := 0; p.Len() < pickled; i++ {
		if i%1000 == 0 {
			p.Op('(')
		}
		element(p, i)
		if i%1000 == 999 || p.Len() >= pickled {
			p.Op('e')
		}
	}
	return p.Stop()
}
