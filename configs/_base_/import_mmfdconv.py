# The first base of an mmsegmentation experiment. MMEngine looks `mmseg::` up
# by a package name under which the maintained fork does not install it, knows
# no `mmfdconv::`, and reads all bases before `custom_imports`; importing
# mmfdconv here mends that for the stock tools too. (An `import` statement
# would make this a config of MMEngine's other style.)
__import__('mmfdconv')
