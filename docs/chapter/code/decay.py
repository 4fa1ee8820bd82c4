from stepsize.schedules import step

rates = step(0.1, gamma=0.9, every=50).resolve()
print("| update | rate |")
print("|---|---|")
for update in range(0, 301, 50):
    print(f"| {update} | {rates(update):.6f} |")
