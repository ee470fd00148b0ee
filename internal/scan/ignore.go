package scan

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"assay/internal/strict"
)

// Ignore is a decision of the user's to live with a kind of finding in some files, for a
// stated reason and until a stated day.
type Ignore struct {
	Rule    string `yaml:"rule" check:"required" json:"rule"`       // the id of a rule
	Path    string `yaml:"path" check:"required" json:"path"`       // of files, with * and ? as in path.Match; a folder stands for all in it
	Reason  string `yaml:"reason" check:"required" json:"reason"`   // why it is no danger here
	Expires string `yaml:"expires" check:"required" json:"expires"` // the last day on which it holds, as 2006-01-02
}

// Ignores are the ignores of a file.
type Ignores struct {
	Ignores []Ignore `yaml:"ignores" check:"required" json:"ignores"`
}

// Ignored is a finding that an ignore took out of its file.
type Ignored struct {
	Finding
	Reason  string `json:"reason"`
	Expires string `json:"expires"`
}

// ReadIgnores reads a file of ignores. Rules are the ids that there are.
func ReadIgnores(name string, data []byte, rules []string) (*Ignores, error) {
	var out Ignores
	d := strict.Decode(name, data, &out, nil)
	for i, g := range out.Ignores {
		at := fmt.Sprintf("ignores[%d].", i)
		if g.Rule != "" && !slices.Contains(rules, g.Rule) {
			d.Unknown(at+"rule", g.Rule, "is no rule of a scanner", rules)
		}
		if _, err := path.Match(filepath.ToSlash(g.Path), ""); err != nil {
			d.Fail(at+"path", "is no pattern of a path: *, ? and [a-z] stand for parts of a name")
		}
		if _, err := time.Parse(time.DateOnly, g.Expires); g.Expires != "" && err != nil {
			d.Fail(at+"expires", "%q is no day: write it as in 2027-03-31", g.Expires)
		}
	}
	return &out, d.Err()
}

// Apply takes what is ignored on a day out of results, and decides their statuses again.
// It gives what it took out, and the ignores that have expired or apply to nothing.
func (g *Ignores) Apply(results []Result, day time.Time) (ignored []Ignored, stale []Ignore) {
	used := make([]bool, len(g.Ignores))
	today := day.Format(time.DateOnly)
	for i := range results {
		r := &results[i]
		kept := []Finding{}
		var status Status
		for _, f := range r.Findings {
			n := slices.IndexFunc(g.Ignores, func(g Ignore) bool { return g.Rule == f.Rule && g.covers(r.Path) && g.Expires >= today })
			if n < 0 {
				kept = append(kept, f)
				status = status.Worse(f.status())
				continue
			}
			used[n] = true
			ignored = append(ignored, Ignored{f, g.Ignores[n].Reason, g.Ignores[n].Expires})
		}
		if len(kept) < len(r.Findings) {
			r.Findings, r.Status = kept, cmp.Or(status, Clean)
		}
	}
	for i, g := range g.Ignores {
		if !used[i] {
			stale = append(stale, g)
		}
	}
	return ignored, stale
}

func (g Ignore) covers(file string) bool {
	pattern, name := path.Clean(filepath.ToSlash(g.Path)), path.Clean(filepath.ToSlash(file))
	for name != "." && name != "/" && name != "" {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return false
		}
		name = name[:i]
	}
	return false
}
