ALTER FUNCTION vestige_words(text, text, text[]) RESET search_path;
