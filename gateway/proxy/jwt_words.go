package proxy

import (
	"encoding/json"
	"strings"
)

// wordList is a claim that is a list of words, or a text of words with spaces between them.
type wordList []string

// UnmarshalJSON reads either.
func (l *wordList) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(l))
	}
	var words string
	if err := json.Unmarshal(text, &words); err != nil {
		return err
	}
	*l = strings.Fields(words)
	return nil
}
