package formats

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"assay/internal/scan"
	"assay/internal/scan/corpus"
)

// The quality gate: with all scanners together, everything harmful is found, nothing
// harmless is, and of what is harmless no more than one in fifty is left undecided.
func TestCorpus(t *testing.T) {
	r := &scan.Runner{Scanners: All()}
	harmless, harmful, undecided := 0, 0, 0
	for _, c := range corpus.All() {
		result, err := r.Content(t.Context(), c.Name, bytes.NewReader(c.Data), int64(len(c.Data)))
		if err != nil {
			t.Fatal(err)
		}
		safe := result.Status == scan.Clean || result.Status == scan.NotAModel
		switch c.Want {
		case scan.Found:
			harmful++
			if result.Status != scan.Found {
				t.Errorf("%s: %s, want a finding: %q", c.Name, result.Status, result.Findings)
			}
		case scan.Undecided: // damaged or unknown: anything but harmless
			if safe {
				t.Errorf("%s: %s, want undecided", c.Name, result.Status)
			}
		default:
			harmless++
			if result.Status == scan.Found {
				t.Errorf("%s: %s, want it clean: %q", c.Name, result.Status, result.Findings)
			} else if !safe {
				undecided++
				t.Logf("%s: undecided: %q", c.Name, result.Findings)
			}
		}
	}
	t.Logf("%d harmless, of which %d undecided, and %d harmful", harmless, undecided, harmful)
	if harmless < 300 || harmful < 600 || undecided*50 > harmless {
		t.Errorf("%d harmless, of which %d undecided, and %d harmful", harmless, undecided, harmful)
	}
}

// The length of a header is no opcode.
func TestHeadersOfAnyLength(t *testing.T) {
	r := &scan.Runner{Scanners: All()}
	for _, c := range corpus.SafetensorsOfAnyLength() {
		result, err := r.Content(t.Context(), c.Name, bytes.NewReader(c.Data), int64(len(c.Data)))
		if err != nil {
			t.Fatal(err)
		}
		if result.Status != c.Want || result.Format != "safetensors" {
			t.Errorf("%s: %s as %s: %q", c.Name, result.Status, result.Format, result.Findings)
		}
	}
}

// TestAdvisories holds that each case that docs/scan-advisories.md names is in the corpus,
// which TestCorpus holds to be found.
func TestAdvisories(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/scan-advisories.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range corpus.All() {
		if c.Want == scan.Found {
			names[strings.TrimPrefix(c.Name, "pickle/")] = true
		}
	}
	cases := regexp.MustCompile("\\| `([^`]+)` \\|\\n").FindAllStringSubmatch(string(doc), -1)
	if len(cases) < 60 {
		t.Fatalf("only %d advisories name a case", len(cases))
	}
	for _, c := range cases {
		if !names[c[1]] {
			t.Errorf("there is no case %s", c[1])
		}
	}
}
