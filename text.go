package assay

import (
	"fmt"
	"slices"
	"strings"
)

// ParseVulnerability reads the name of a class of vulnerability. Like all parsers
// here it takes exactly the names of the set, and its error says which is nearest.
func ParseVulnerability(text string) (Vulnerability, error) {
	return parse("vulnerability", text, Vulnerabilities())
}

// ParseFunction reads the name of a function.
func ParseFunction(text string) (Function, error) { return parse("function", text, Functions()) }

// ParseOutcome reads the name of an outcome.
func ParseOutcome(text string) (Outcome, error) { return parse("outcome", text, Outcomes()) }

// ParseRelation reads the name of a relation.
func ParseRelation(text string) (Relation, error) { return parse("relation", text, Relations()) }

// ParseModality reads the name of a kind of data.
func ParseModality(text string) (Modality, error) { return parse("modality", text, Modalities()) }

// ParseLevel reads the name of a level of risk.
func ParseLevel(text string) (Level, error) { return parse("level", text, Levels()) }

// ParseAccess reads the name of a kind of access.
func ParseAccess(text string) (Access, error) { return parse("access", text, Accesses()) }

// ParseStage reads the name of a stage of the life cycle.
func ParseStage(text string) (Stage, error) { return parse("stage", text, Stages()) }

// ParseKind reads the name of a kind of solution.
func ParseKind(text string) (Kind, error) { return parse("kind", text, Kinds()) }

// ParseCell reads a cell, such as "evasion/prevent".
func ParseCell(text string) (Cell, error) {
	vulnerability, function, ok := strings.Cut(text, "/")
	if !ok {
		return Cell{}, fmt.Errorf("%q is not a cell: write vulnerability/function, such as evasion/prevent", text)
	}
	v, err := ParseVulnerability(vulnerability)
	if err != nil {
		return Cell{}, fmt.Errorf("cell %q: %w", text, err)
	}
	f, err := ParseFunction(function)
	if err != nil {
		return Cell{}, fmt.Errorf("cell %q: %w", text, err)
	}
	return Cell{v, f}, nil
}

func (c Cell) String() string { return string(c.Vulnerability) + "/" + string(c.Function) }

// MarshalText writes the cell as ParseCell reads it.
func (c Cell) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the cell as ParseCell does.
func (c *Cell) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCell(string(text))
	return err
}

// UnmarshalText reads the name as ParseVulnerability does.
func (v *Vulnerability) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVulnerability(string(text))
	return err
}

// UnmarshalText reads the name as ParseFunction does.
func (f *Function) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFunction(string(text))
	return err
}

// UnmarshalText reads the name as ParseOutcome does.
func (o *Outcome) UnmarshalText(text []byte) (err error) {
	*o, err = ParseOutcome(string(text))
	return err
}

// UnmarshalText reads the name as ParseRelation does.
func (r *Relation) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRelation(string(text))
	return err
}

// UnmarshalText reads the name as ParseModality does.
func (m *Modality) UnmarshalText(text []byte) (err error) {
	*m, err = ParseModality(string(text))
	return err
}

// UnmarshalText reads the name as ParseLevel does.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// UnmarshalText reads the name as ParseAccess does.
func (a *Access) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAccess(string(text))
	return err
}

// UnmarshalText reads the name as ParseStage does.
func (s *Stage) UnmarshalText(text []byte) (err error) {
	*s, err = ParseStage(string(text))
	return err
}

// UnmarshalText reads the name as ParseKind does.
func (k *Kind) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKind(string(text))
	return err
}

func parse[T ~string](set, text string, all []T) (T, error) {
	if slices.Contains(all, T(text)) {
		return T(text), nil
	}
	names := make([]string, len(all))
	for i, name := range all {
		names[i] = string(name)
	}
	return "", fmt.Errorf("%q is no %s: use %s%s", text, set, strings.Join(names, ", "), did(Nearest(text, names)))
}

func did(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", name)
}

// Nearest gives the name that a misspelt text most likely stands for: the one with
// the fewest single-letter edits (Levenshtein), and none if that is more than a
// third of the text. It is bounded: texts of more than 64 bytes have none.
func Nearest(text string, names []string) string {
	if len(text) > 64 {
		return ""
	}
	best, edits := "", len(text)/3+1
	for _, name := range names {
		if d := distance(strings.ToLower(text), strings.ToLower(name)); d < edits || d == edits && best == "" {
			best, edits = name, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
